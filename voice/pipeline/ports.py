"""What a call asks of the world: a transport, somebody who answers, a log, control over the line."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from voice.audio import AudioFormat
from voice.connectors.types import SpeechUse


class Transport(Protocol):
    """The way to one caller. Every method may wait for the network no longer than a second, then raises
    `TransportClosed`; after that the call ends."""

    name: str
    format: AudioFormat

    async def send_audio(self, audio: bytes) -> None: ...

    async def send_mark(self, name: str) -> None:
        """Ask to be told (`Call.mark`) when the audio sent before this has been played."""
        ...

    async def clear(self) -> None:
        """Drop what was sent and not yet played. Marks of it come back at once."""
        ...

    async def aclose(self) -> None:
        """Close the media. Idempotent."""
        ...


class TransportClosed(Exception):
    """The caller's side is gone or does not take audio any more."""


class LineControl(Protocol):
    """What can be done with the telephone line itself. A transport without one refuses by `NotPossible`."""

    async def transfer(self, to: str, *, mode: Literal["cold", "warm"], summary: str) -> None:
        """Hand the caller over. Returns when the line has been told; the call then ends."""
        ...

    async def hang_up(self) -> None: ...


class NotPossible(Exception):
    """The line cannot do this; the message says why, in words an agent can pass on."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a conversation. An agent's text is what the caller really heard of it."""

    role: Literal["caller", "agent", "note"]
    text: str


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What an answer is wanted to. `speculative`: the caller may go on talking, so nothing may be done that
    cannot be undone (tools, memory, events). `note`: not the caller but the system speaks (a task's result)."""

    turn: int
    text: str
    history: tuple[Utterance, ...]
    speculative: bool = False
    note: bool = False


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next words of an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReplyAction:
    """Something the agent wants done, after the words before it have been spoken.

    transfer {to, mode, summary} · hang_up {reason} · send_digits {digits}
    """

    name: Literal["transfer", "hang_up", "send_digits"]
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """A tool ran while the caller waits: the call may say so (`speak` is a filler, empty for silence)."""

    name: str
    speak: str = ""


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The last piece of every complete answer: who answered, for how much (US dollars)."""

    model: str = ""
    provider: str = ""
    cost: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    citations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the agent was asked, from a responder that has text stages of its own before it. Comes first."""

    text: str


ReplyPiece = ReplyText | ReplyAction | ToolUsed | ReplyDone | Asked


class Responder(Protocol):
    """Who answers: an agent of a network, a model with a prompt, or a scripted dialog.

    Cancelling (`aclose` of the generator) stops the model; its cost is recorded all the same.
    """

    def respond(self, request: TurnRequest) -> AsyncGenerator[ReplyPiece, None]:
        """Answer. Raises `ProviderError` when nobody can."""
        ...

    def keep(self, turn: int) -> None:
        """A speculative answer to `turn` was taken after all."""
        ...

    def announcements(self) -> AsyncGenerator[str, None]:
        """Yield what is to be told without being asked (a task's result), as a note to the agent, until
        closed. May never yield."""
        ...

    async def aclose(self) -> None: ...


class TextStage(Protocol):
    """A stage between the recogniser and the agent, or between the agent and the voice."""

    name: str

    async def transform(self, text: str) -> str:
        """Return what goes on to the next stage: a whole utterance inwards, a clause outwards."""
        ...


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One exchange, written when it is over. Times are milliseconds after the caller's last sound.

    `latencies` has stt_final, first_token, first_clause, first_audio, first_frame, as far as they came.
    """

    number: int
    caller_text: str
    reply_text: str
    heard_text: str
    interrupted: bool = False
    speculative: bool = False
    note: bool = False
    latencies: Mapping[str, float] = field(default_factory=dict)
    stt: str = ""
    tts: str = ""
    model: str = ""
    cost: float = 0.0
    config_version: int = 0
    started_at: float = 0.0  # seconds since the epoch
    error: str = ""


@dataclass(frozen=True, slots=True)
class CallSummary:
    """How a call went, written once at its end. `reason` is one of caller_hung_up, agent_hung_up, dialog_ended,
    transferred, max_duration, idle, voicemail, transport_lost, cancelled, drained, failed."""

    reason: str
    seconds: float
    turns: int
    interruptions: int
    false_interruptions: int
    mos: float | None
    use: tuple[SpeechUse, ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


class CallLog(Protocol):
    """Where a call is written down. Called in the frame path: it queues and returns."""

    def event(self, type: str, payload: Mapping[str, Any]) -> None: ...

    def turn(self, record: TurnRecord) -> None: ...

    def ended(self, summary: CallSummary) -> None: ...

    def measure(self, name: str, value: float) -> None:
        """A figure for the metrics (`turn_latency_ms`, `barge_in_ms`, …); see voice/metrics.py."""
        ...


class NullLog:
    """A log that looks away."""

    def event(self, type: str, payload: Mapping[str, Any]) -> None: ...

    def turn(self, record: TurnRecord) -> None: ...

    def ended(self, summary: CallSummary) -> None: ...

    def measure(self, name: str, value: float) -> None: ...
