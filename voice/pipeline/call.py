"""One call, from its first frame to its last."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

from agents.providers.errors import ProviderError
from voice.audio import AudioFormat
from voice.config import SessionConfig
from voice.connectors.base import Speaker

from .conversation import Conversation
from .endpointing import Patience
from .guide import Guide
from .hearing import OpenListener
from .keys import KEYS
from .mos import LineQuality
from .playout import Playout
from .ports import CallLog, CallSummary, LineControl, Responder, TextStage, Transport, TransportClosed
from .recording import StereoRecorder
from .setting import Setting
from .tasks import Tasks
from .vad import OnWindow, VoiceActivity
from .voicemail import BeepDetector

log = logging.getLogger(__name__)

_CLOSING_SECONDS: Final = 0.4  # for everything that is closed at the end, all at once
_HANGING_UP_SECONDS: Final = 3.0
_OURS: Final = frozenset(
    {"agent_hung_up", "max_duration", "idle", "voicemail", "failed", "drained", "dialog_ended"}
)


class Activity(Protocol):
    """`VoiceActivityEngine`, as far as a call needs it."""

    def open(self, format: AudioFormat, on_window: OnWindow) -> VoiceActivity: ...


class Call:
    """`audio`, `mark`, `digit` and `end` are told by the transport; they return at once and raise nothing.

    `config` is asked at each turn, so a session changed in mid-call acts on the next one; `stt`, `speaker` and
    `text_stages` make what a config names. `outbound` calls listen for voicemail. `recorder` opens the file
    of a recording that the caller agrees to. `guide` leads the dialog until it hands over. `turn_model` replaces
    the rule for thoughts that are not finished. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        *,
        call_id: str,
        config: Callable[[], SessionConfig],
        transport: Transport,
        stt: OpenListener,
        speaker: Callable[[SessionConfig], Speaker],
        responder: Responder,
        activity: Activity,
        log: CallLog,
        line: LineControl | None = None,
        text_stages: Callable[[SessionConfig], Mapping[str, TextStage]] = lambda config: {},
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        outbound: bool = False,
        recorder: Callable[[], StereoRecorder] | None = None,
        guide: Guide | None = None,
        turn_model: Patience | None = None,
    ) -> None:
        self.call_id = call_id
        self.reason = ""
        self.quality = LineQuality()
        self._config = config
        self._transport = transport
        self._activity = activity
        self._log = log
        self._clock = clock
        self._open_recorder = recorder
        self._recorder: StereoRecorder | None = None
        self._ear: VoiceActivity | None = None
        self._over = asyncio.Event()
        self._error = ""
        self._began = clock()
        self._tasks = Tasks(self._went_wrong)
        self._playout = Playout(
            transport, clock, on_underrun=self.quality.underrun, on_sent=self._sent, on_cleared=self._cleared
        )
        self._setting = Setting(
            config=config,
            speaker=speaker,
            stages=text_stages,
            responder=responder,
            format=transport.format,
            playout=self._playout,
            log=log,
            line=line,
            tasks=self._tasks,
            clock=clock,
            end=self.end,
            failed=self._failed,
            outbound=outbound,
            guide=guide,
            wall=wall,
        )
        self._conversation = Conversation(self._setting, stt, turn_model)
        self._conversation.opening.record = self._record
        self._beeps = BeepDetector(transport.format) if outbound else None

    # ---- the frame path -----------------------------------------------------------------------

    def audio(self, payload: bytes, timestamp_ms: float | None = None) -> None:
        """The caller's next audio, in the transport's format."""
        ear = self._ear
        if ear is None:
            return  # not begun, or over
        ear.push(payload)
        self._conversation.hearing.feed(payload)
        now = self._clock() * 1000
        self.quality.inbound(self._transport.format.duration(len(payload)), now, timestamp_ms)
        if self._recorder is not None:
            self._recorder.caller(payload, now)
        if self._beeps is not None:
            self._listen_for_beep(payload)

    def mark(self, name: str) -> None:
        """The transport echoed a mark."""
        self._playout.mark(name)

    def digit(self, d: str) -> None:
        """The caller pressed a key."""
        if self._ear is not None and d in KEYS:
            self._conversation.digit(d)

    def network(self, *, loss: float, round_trip_ms: float) -> None:
        """The far end reports how our audio arrives (RTCP). `loss` is a fraction."""
        self.quality.reported_loss += (loss - self.quality.reported_loss) / 4
        self.quality.round_trip_ms = round_trip_ms

    def end(self, reason: str) -> None:
        """The call is over; `run` frees everything and returns. The first reason stands."""
        if not self._over.is_set():
            self.reason = reason
            self._over.set()

    def _sent(self, audio: bytes, at_ms: float) -> None:
        self._conversation.exchanges.note_sent()
        self.quality.outbound(self._transport.format.duration(len(audio)))
        if self._recorder is not None:
            self._recorder.agent(audio, at_ms)

    def _cleared(self, at_ms: float) -> None:
        if self._recorder is not None:
            self._recorder.clear(at_ms)

    def _listen_for_beep(self, payload: bytes) -> None:
        detector = self._conversation.opening.detector
        if detector is None:
            self._beeps = None
        elif self._beeps is not None and self._beeps.push(payload):
            detector.beep()

    # ---- its life -----------------------------------------------------------------------------

    async def run(self) -> CallSummary:
        """Have the conversation. Returns when the call is over and nothing of it is left."""
        conversation = self._conversation
        try:
            self._log.event("call.started", {"config_version": self._config().version})
            self._ear = self._activity.open(self._transport.format, conversation.window)
            self._tasks.spawn(self._playout.run(), "playout")
            self._tasks.spawn(self._listen(), "listen")
            self._tasks.spawn(conversation.exchanges.services.warm(), "warm")
            self._tasks.spawn(self._announcements(), "announcements")
            conversation.start()
            limit = self._config().turn.max_call_seconds - (self._clock() - self._began)
            timer = asyncio.get_running_loop().call_later(max(0.0, limit), conversation.ending.too_long)
            try:
                await self._over.wait()
            finally:
                timer.cancel()
        except asyncio.CancelledError:
            self.end("cancelled")
            raise
        finally:
            self.end("failed")
            await _to_the_end(self._tear_down())
        return self._summary

    async def _listen(self) -> None:
        try:
            await self._conversation.hearing.open(self._config())
            self._log.event("call.services", self._conversation.exchanges.services.serving())
        except ProviderError as error:
            self._conversation.deaf(error)

    async def _announcements(self) -> None:
        async with aclosing(self._setting.responder.announcements()) as announcements:
            async for text in announcements:
                self._conversation.announce(text)

    def _record(self) -> None:
        if self._open_recorder is None or self._recorder is not None:
            return
        try:
            self._recorder = self._open_recorder()
        except OSError as error:
            self._log.event("error", {"stage": "recording", "message": str(error)})
            return
        self._log.event("recording.started", {"file": self._recorder.path.name})

    def _went_wrong(self, error: BaseException) -> None:
        """A task of the call failed, and nobody awaits it."""
        if isinstance(error, TransportClosed):
            self.end("transport_lost")
            return
        log.error("a call failed", exc_info=error, extra={"call_id": self.call_id})
        self._log.event("error", {"stage": "call", "message": f"{type(error).__name__}: {error}"})
        self._failed(f"{type(error).__name__}: {error}")

    def _failed(self, error: str) -> None:
        self._error = self._error or error
        self.end("failed")

    async def _tear_down(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.close()
        conversation = self._conversation
        conversation.close()
        if late := await self._tasks.aclose(_CLOSING_SECONDS / 2):
            log.error("a call's tasks did not end: %s", sorted(task.get_name() for task in late))
        closing = {
            "recogniser": conversation.hearing.aclose(),
            "voice": conversation.exchanges.services.aclose(),
            "responder": self._setting.responder.aclose(),
        }
        if self._setting.guide is not None:
            closing["guide"] = self._setting.guide.aclose()
        line = self._setting.line
        if line is not None and self.reason in _OURS:
            closing["line"] = line.hang_up()
        closing["transport"] = self._transport.aclose()
        await asyncio.gather(*(self._close(name, work) for name, work in closing.items()))
        if self._recorder is not None:
            self._recorder.close()
        self._summary = self._summarise()
        self._log.event("call.ended", {"reason": self.reason, "seconds": round(self._summary.seconds, 3)})
        self._log.ended(self._summary)

    async def _close(self, name: str, work: Any) -> None:
        """Close one thing, for so long and no longer: what one cannot do does not hold up the others."""
        seconds = _HANGING_UP_SECONDS if name == "line" else _CLOSING_SECONDS
        try:
            async with asyncio.timeout(seconds):
                await work
        except Exception as error:
            log.warning("closing a call's %s: %r", name, error, extra={"call_id": self.call_id})

    def _summarise(self) -> CallSummary:
        conversation, playout, quality = self._conversation, self._playout, self.quality
        quality.round_trip_ms = quality.round_trip_ms or playout.round_trip_ms
        return CallSummary(
            reason=self.reason,
            seconds=self._clock() - self._began,
            turns=conversation.exchanges.count,
            interruptions=conversation.exchanges.interruptions,
            false_interruptions=conversation.false_interruptions,
            mos=quality.mos(),
            use=(*conversation.hearing.use(), *conversation.exchanges.services.use()),
            statistics={
                "inbound_ms": round(quality.inbound_ms),
                "late_frames": quality.late_frames,
                "missing_ms": round(quality.missing_ms),
                "outbound_ms": round(quality.outbound_ms),
                "underruns": quality.underruns,
                "underrun_ms": round(quality.underrun_ms),
                "late_sends": playout.late_sends,
                "worst_lag_ms": round(playout.worst_late_ms, 1),
                "reported_loss": round(quality.reported_loss, 4),
                "round_trip_ms": round(quality.round_trip_ms),
            },
            error=self._error,
        )


async def _to_the_end(work: Any) -> None:
    """Await something that must not be cut short, also when we are cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not task.cancelled():
        task.result()
        raise asyncio.CancelledError
    task.result()
