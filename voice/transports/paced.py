"""A far end that is fed as fast as it plays: what all media by RTP have in common.

There is no buffer at the other side that could be asked to echo marks or to drop its audio. So the lead stays
here: frames leave one by one, 20 ms each; a mark is due when what was before it has left; clearing is at once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import orjson

from voice.audio import AudioFormat
from voice.pipeline.ports import TransportClosed

from .base import CallInput

log = logging.getLogger(__name__)

FRAME_MS: Final = 20
_MOST_NEWS: Final = 200  # that wait for somebody who reads them
_MOST_SECONDS: Final = 5.0  # of audio that wait to leave
_LATEST_SECONDS: Final = 0.1  # so far behind, nothing is caught up
_PLAYER_MS: Final = 40.0  # what the caller's own jitter buffer holds


class Outbox:
    """Audio and marks on their way out, in order."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.size = format.size(FRAME_MS)
        self.waiting = 0  # bytes
        self._parts: deque[bytes | str] = deque()

    def put(self, audio: bytes) -> None:
        self._parts.append(audio)
        self.waiting += len(audio)

    def mark(self, name: str) -> None:
        self._parts.append(name)

    def clear(self) -> list[str]:
        """Drop everything; return the marks that were in it."""
        marks = [part for part in self._parts if isinstance(part, str)]
        self._parts.clear()
        self.waiting = 0
        return marks

    def frame(self) -> tuple[bytes, list[str]]:
        """Take the next 20 ms, silence for what is missing, and the marks that they complete."""
        out, marks = bytearray(), []
        while self._parts:
            part = self._parts[0]
            if isinstance(part, str):
                marks.append(part)
                self._parts.popleft()
                continue
            if len(out) == self.size:
                break
            room = self.size - len(out)
            out += part[:room]
            if len(part) > room:
                self._parts[0] = part[room:]
            else:
                self._parts.popleft()
        self.waiting -= len(out)
        out += self.format.silence * ((self.size - len(out)) // self.format.width)
        return bytes(out), marks


class Pace:
    """A beat every 20 ms that neither drifts nor rushes after a stall."""

    def __init__(self) -> None:
        self._due = 0.0

    async def beat(self) -> None:
        now = asyncio.get_running_loop().time()
        self._due += FRAME_MS / 1000
        if self._due < now - _LATEST_SECONDS:
            self._due = now
        await asyncio.sleep(max(0.0, self._due - now))


class PacedTransport:
    """What WebRTC, LiveKit and Daily share. A subclass sends what `next_frame` gives it every 20 ms."""

    name = ""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.outbox = Outbox(format)
        self.round_trip_ms = 0.0
        self.call: CallInput | None = None
        self.closed = False
        self._on_network: Callable[..., None] | None = None
        self._news: deque[str] = deque(maxlen=_MOST_NEWS)
        self._timers: set[asyncio.TimerHandle] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._up = asyncio.Event()

    def attach(self, call: CallInput, *, on_network: Callable[..., None] | None = None) -> None:
        """Tell this call what comes in. `on_network` takes the line's figures (`Call.network`)."""
        self.call = call
        self._on_network = on_network

    async def connected(self, seconds: float) -> bool:
        """Wait for the caller's audio. False when it does not come in so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._up.wait()
        return self._up.is_set() and not self.closed

    # ---- voice.pipeline.ports.Transport -------------------------------------------------------

    async def send_audio(self, audio: bytes) -> None:
        self._check()
        if self.format.duration(self.outbox.waiting) > _MOST_SECONDS * 1000:
            raise TransportClosed("nobody takes the audio any more")
        self.outbox.put(audio)

    async def send_mark(self, name: str) -> None:
        self._check()
        self.outbox.mark(name)

    async def clear(self) -> None:
        self._check()
        for mark in self.outbox.clear():
            self._echo(mark, 0.0)

    async def aclose(self) -> None:
        """Tell the page what is left to tell, and leave. Idempotent."""
        if not self.closed:
            self._tell()
            await self._shut()
            await self._leave()

    # ---- for subclasses -----------------------------------------------------------------------

    def next_frame(self) -> bytes:
        """The 20 ms that leave now."""
        audio, marks = self.outbox.frame()
        for mark in marks:
            self._echo(mark, FRAME_MS)
        return audio

    def network(self, *, loss: float, round_trip_ms: float) -> None:
        """The far end reports how our audio arrives."""
        self.round_trip_ms = round_trip_ms
        if self._on_network is not None:
            self._on_network(loss=loss, round_trip_ms=round_trip_ms)

    def show(self, event: str, **fields: Any) -> None:
        """Tell the caller's page something. Returns at once."""
        self._news.append(orjson.dumps({"event": event, **fields}).decode())
        self._tell()

    def receive_text(self, text: str | bytes) -> None:
        """What the caller's page says: dtmf {digit}, stop. Anything else is ignored."""
        try:
            message = orjson.loads(text)
            event = message["event"]
            if self.call is None:
                return
            if event == "dtmf":
                self.call.digit(str(message["digit"])[:1])
            elif event == "stop":
                self.call.end("caller_hung_up")
        except (ValueError, KeyError, TypeError):
            return

    def end(self, reason: str) -> None:
        """The caller's side is over."""
        if self.call is not None:
            self.call.end(reason)

    def take_news(self) -> list[str]:
        """What is to be told to the page now."""
        news = list(self._news)
        self._news.clear()
        return news

    async def _leave(self) -> None:
        """Hang up at the vendor's, or the browser's, end."""
        raise NotImplementedError

    def _tell(self) -> None:
        """Send what `take_news` gives, if anybody can read it yet."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the call until the end. What fails there ends the call."""
        job = asyncio.get_running_loop().create_task(work, name=self.name)
        self._jobs.add(job)
        job.add_done_callback(self._finished)

    async def _shut(self) -> None:
        """Nothing more goes out and no mark comes back."""
        self.closed = True
        self._up.set()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self.outbox.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _finished(self, job: "asyncio.Task[None]") -> None:
        self._jobs.discard(job)
        if not job.cancelled() and (error := job.exception()):
            log.error("the media of a call broke", exc_info=error)
            self.end("transport_lost")

    def _check(self) -> None:
        if self.closed:
            raise TransportClosed("closed")

    def _echo(self, mark: str, after_ms: float) -> None:
        """Give a mark back as a far end would: there and back, and through the caller's own buffer."""
        loop = asyncio.get_running_loop()
        delay = after_ms + self.round_trip_ms + 2 * _PLAYER_MS

        def ring() -> None:
            self._timers.discard(timer)
            if self.call is not None:
                self.call.mark(mark)

        timer = loop.call_later(delay / 1000, ring)
        self._timers.add(timer)
