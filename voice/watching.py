"""Showing a call to the page that makes it: what is written into its log, as messages for people."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final, Protocol

from voice.connectors.base import Speaker
from voice.connectors.types import Speech, SpeechUse
from voice.pipeline.ports import CallLog, CallSummary, TurnRecord

_NOTES: Final[Mapping[str, str]] = {
    "agent.interrupted": "You interrupted.",
    "announcement.spoken": "A result came in.",
    "call.transferred": "You are being transferred.",
    "config.changed": "The session's config has changed.",
    "recording.started": "This call is recorded.",
    "tool.used": "Looking it up …",
}


class Show(Protocol):
    """Sends a message to the page. Returns at once."""

    def __call__(self, event: str, **fields: Any) -> None: ...


class WatchedLog:
    """A call's log that also tells the caller's page."""

    def __init__(self, log: CallLog, *, show: Show) -> None:
        self._log = log
        self._show = show
        self._said: list[str] = []

    def event(self, type: str, payload: Mapping[str, Any]) -> None:
        self._log.event(type, payload)
        if type in ("transcript.partial", "transcript.final"):
            final = type.endswith("final") and not payload.get("backchannel")
            self._show("transcript", role="caller", text=payload.get("text", ""), final=final)
            self._said.clear()
        elif type == "speculation.dropped":
            self._said.clear()
        elif type == "turn.started":
            self._show("state", state="answering", text="Answering …")
        elif type == "turn.completed":
            self._show("state", state="listening", text="Listening …")
        elif type == "error":
            self._show(
                "transcript", role="note", text=f"Trouble: {payload.get('message', '')}"[:300], final=True
            )
        elif type in _NOTES:
            self._show("transcript", role="note", text=_NOTES[type], final=True)

    def saying(self, text: str) -> None:
        """The agent begins to speak a clause."""
        self._said.append(text.strip())
        self._show("transcript", role="agent", text=" ".join(self._said), final=False)

    def turn(self, record: TurnRecord) -> None:
        self._log.turn(record)
        self._said.clear()
        self._show(
            "turn",
            number=record.number,
            caller_text=record.caller_text,
            reply_text=record.reply_text,
            heard_text=record.heard_text,
            interrupted=record.interrupted,
            latencies={name: round(value, 1) for name, value in record.latencies.items()},
            model=record.model,
            stt=record.stt,
            tts=record.tts,
        )

    def ended(self, summary: CallSummary) -> None:
        self._log.ended(summary)
        self._show("end", reason=summary.reason, seconds=round(summary.seconds, 1), mos=summary.mos)

    def measure(self, name: str, value: float) -> None:
        self._log.measure(name, value)


class WatchedSpeaker:
    """A voice that tells the page what it says."""

    def __init__(self, speaker: Speaker, log: WatchedLog) -> None:
        self._speaker = speaker
        self._log = log

    @property
    def connectors(self) -> tuple[str, ...]:
        return self._speaker.connectors

    def speak(self, text: str, *, queued_ms: Callable[[], float]) -> AsyncGenerator[Speech, None]:
        self._log.saying(text)
        return self._speaker.speak(text, queued_ms=queued_ms)

    async def warm(self) -> None:
        await self._speaker.warm()

    def use(self) -> tuple[SpeechUse, ...]:
        return self._speaker.use()

    async def aclose(self) -> None:
        await self._speaker.aclose()
