"""A browser's microphone over a WebSocket. Pure; `voice.consumers` moves the messages.

Binary frames are PCM16 little-endian mono, both ways, at the rate that `start` names. Text frames are JSON:

    from the browser   start {sample_rate} · mark {name} · dtmf {digit} · stop
    to the browser     ready {call_id, sample_rate} · mark {name} · clear · transcript {role, text, …}
                       state {state} · turn {number, latencies, …} · end {reason}

The page plays audio in order, sends a mark back when what came before it was played, and empties its queue at
`clear`, sending back the marks that were in it: the manners of Twilio.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from voice.audio import STUDIO, WIDE_BAND, AudioFormat
from voice.pipeline.ports import TransportClosed

from .base import CallInput, Close, SendBytes, SendNow, SendText, SocketTransport, within_limit

FORMATS: Final = {16_000: WIDE_BAND, 24_000: STUDIO}
AHEAD_MS: Final = 5000.0  # of audio that a page may send at once, when its line had been stalled
_PACE: Final = 1.25  # microphones have clocks of their own
_MOST_NEWS = 200  # a page that reads nothing loses the oldest


class BadStart(Exception):
    """The page began in a way that no call may come of; the message says why."""


def read_start(text: str | None) -> AudioFormat:
    """Read the first message: the format of both directions. Raises `BadStart`."""
    try:
        message = orjson.loads(text or "")
        if message["event"] != "start":
            raise BadStart("the first message is `start`")
        return FORMATS[message.get("sample_rate", 16_000)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadStart("the first message is start {sample_rate: 16000 or 24000}") from None


class WebTransport(SocketTransport):
    """One browser. `receive` and `receive_binary` neither wait nor raise."""

    name = "web"
    sender = "a page"

    def __init__(
        self,
        format: AudioFormat,
        send: SendText,
        send_bytes: SendBytes,
        close: Close,
        clock: Callable[[], float] = time.monotonic,
        send_now: SendNow | None = None,
    ) -> None:
        super().__init__(send, close, send_now)
        self.format = format
        self._send_bytes = send_bytes
        self._clock = clock
        self._allowed = AHEAD_MS  # of audio that may come now: it grows as time passes
        self._counted_at = clock()
        self._odd = b""  # half a sample that came alone
        self._news: deque[str] = deque(maxlen=_MOST_NEWS)
        self._some = asyncio.Event()

    def receive(self, text: str, call: CallInput) -> None:
        """Tell the call what a text frame says."""
        try:
            message = orjson.loads(text)
            event = message["event"]
            if event == "mark":
                call.mark(str(message["name"]))
            elif event == "dtmf":
                call.digit(str(message["digit"])[:1])
            elif event == "stop":
                call.end("caller_hung_up")
            else:
                self._ignore(str(event)[:30])
        except (ValueError, KeyError, TypeError, AttributeError):
            self._ignore("unreadable")

    def receive_binary(self, audio: bytes, call: CallInput) -> None:
        """Give the call whole samples. Nobody speaks much faster than time passes: what does is dropped, for it
        would hold up the other calls of the process."""
        now = self._clock()
        self._allowed = min(AHEAD_MS, self._allowed + (now - self._counted_at) * 1000 * _PACE)
        self._counted_at = now
        milliseconds = self.format.duration(len(audio))
        if milliseconds > self._allowed:
            self._ignore("too fast")
            return
        self._allowed -= milliseconds
        audio = self._odd + audio
        whole = len(audio) & ~1
        self._odd = audio[whole:]
        if whole:
            call.audio(audio[:whole], None)

    def show(self, event: str, **fields: Any) -> None:
        """Tell the page something. Returns at once; `tell_news` sends it."""
        self._news.append(_json({"event": event, **fields}))
        self._some.set()

    async def tell_news(self) -> None:
        """Send what `show` was given, until cancelled or the page is gone."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self.tell_rest()

    async def tell_rest(self) -> None:
        """Send what is left to tell: how the call ended is known only after its audio was closed."""
        while self._news:
            await within_limit(self._send(self._news.popleft()))

    async def send_audio(self, audio: bytes) -> None:
        if self._closed:
            raise TransportClosed("closed")
        if not self._send_now(audio):
            await within_limit(self._send_bytes(audio))

    async def send_mark(self, name: str) -> None:
        await self._put(_json({"event": "mark", "name": name}))

    async def clear(self) -> None:
        await self._put('{"event":"clear"}')


def _json(message: Mapping[str, Any]) -> str:
    return orjson.dumps(message).decode()
