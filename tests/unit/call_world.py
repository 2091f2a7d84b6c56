"""The world a call is tested in: virtual time, a caller who speaks to order, scripted speech services and agent.

The caller's audio is a frame every 20 ms and a window every 32 ms, for as long as the call lasts; `say` makes
them voiced and lets the recogniser hear words. What is sent to the caller is played by a virtual clock.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agents.providers.errors import Failure, ProviderError
from voice.audio import TELEPHONE, AudioFormat
from voice.config import Connector, Edge, SessionConfig, TurnSettings
from voice.connectors.types import Speech, SpeechUse, Transcript
from voice.pipeline.call import Call
from voice.pipeline.ports import (
    CallSummary,
    NotPossible,
    ReplyDone,
    ReplyPiece,
    ReplyText,
    TransportClosed,
    TurnRecord,
    TurnRequest,
)
from voice.pipeline.vad import WINDOW_MS, OnWindow, Window

MS_A_CHARACTER = 50
LOUD, FAINT = -20.0, -70.0
FLOW = (
    Edge("transport", "stt", "audio"),
    Edge("stt", "llm", "text"),
    Edge("llm", "tts", "text"),
    Edge("tts", "transport", "audio"),
)


def now() -> float:
    return asyncio.get_running_loop().time()


async def pause(milliseconds: float) -> None:
    await asyncio.sleep(milliseconds / 1000)


def session(**turn: Any) -> SessionConfig:
    """A config; what is given is its turn settings. No filler and no guesses unless asked for."""
    settings: dict[str, Any] = {"silence_ms": 500, "filler": (), "speculate": False} | turn
    connectors = {
        "stt": Connector("deepgram"),
        "llm": Connector("network"),
        "tts": Connector("elevenlabs"),
        "transport": Connector("twilio"),
    }
    return SessionConfig("Be brief.", "voice_chat", FLOW, connectors, TurnSettings(**settings))


class VirtualTransport:
    """Plays what it is sent, `delay_ms` away each way, and echoes marks when it has played what is before."""

    name = "virtual"
    format: AudioFormat = TELEPHONE

    def __init__(self, delay_ms: float = 20.0) -> None:
        self.delay = delay_ms / 1000
        self.sent: list[tuple[float, bytes]] = []
        self.clears: list[float] = []
        self.closed = 0
        self.broken = False
        self.call: Call | None = None
        self._end = 0.0
        self._serial = 0
        self._marks: dict[int, tuple[str, asyncio.TimerHandle]] = {}

    async def send_audio(self, audio: bytes) -> None:
        self._check()
        self.sent.append((now(), audio))
        arrives = now() + self.delay
        self._end = max(self._end, arrives) + self.format.duration(len(audio)) / 1000

    async def send_mark(self, name: str) -> None:
        self._check()
        at = max(self._end, now() + self.delay) + self.delay
        self._serial += 1
        self._marks[self._serial] = name, asyncio.get_running_loop().call_at(at, self._echo, self._serial)

    async def clear(self) -> None:
        self._check()
        self.clears.append(now())
        self._end = now() + self.delay
        for serial in list(self._marks):
            name, handle = self._marks.pop(serial)
            handle.cancel()
            asyncio.get_running_loop().call_later(2 * self.delay, self._tell, name)

    async def aclose(self) -> None:
        self.closed += 1

    def _echo(self, serial: int) -> None:
        self._tell(self._marks.pop(serial)[0])

    def _tell(self, name: str) -> None:
        if self.call is not None:
            self.call.mark(name)

    def _check(self) -> None:
        if self.broken or self.closed:
            raise TransportClosed("gone")

    @property
    def playing(self) -> bool:
        """The caller hears something; the silence that fills the last frame does not count."""
        return self._end > now() + 0.02

    def sent_after(self, at: float) -> int:
        """Bytes sent later than that."""
        return sum(len(audio) for when, audio in self.sent if when > at)


class ScriptedListener:
    """Hears what the test says it hears. Answers `finish_turn` with the words so far, `tail_ms` later."""

    connector = "deepgram"
    connectors: tuple[str, ...] = ("deepgram", "openai")

    def __init__(self, tail_ms: float = 30.0) -> None:
        self.tail_ms: float | None = tail_ms
        self.fed = 0
        self.pieces: list[int] = []  # their sizes
        self.fed_at_finish: list[int] = []
        self.finishes: list[float] = []
        self.began = self.ended = 0
        self.closed = 0
        self.pending = ""
        self._results: asyncio.Queue[Transcript | ProviderError] = asyncio.Queue()

    def feed(self, audio: bytes) -> None:
        self.fed += len(audio)
        self.pieces.append(len(audio))

    def speech_began(self) -> None:
        self.began += 1

    def speech_ended(self) -> None:
        self.ended += 1

    def hear(self, text: str, *, partial: bool = True) -> None:
        """Words come in. Without `partial` they are told only when asked for."""
        self.pending = text
        if partial:
            self._results.put_nowait(Transcript(text))

    def tell(self, transcript: Transcript | ProviderError) -> None:
        self._results.put_nowait(transcript)

    def finish_turn(self) -> None:
        self.finishes.append(now())
        self.fed_at_finish.append(self.fed)
        if self.tail_ms is not None:
            asyncio.get_running_loop().call_later(self.tail_ms / 1000, self._close_turn)

    def _close_turn(self) -> None:
        text, self.pending = self.pending, ""
        self._results.put_nowait(Transcript(text, final=True, closes=True))

    async def results(self) -> AsyncGenerator[Transcript, None]:
        while True:
            result = await self._results.get()
            if isinstance(result, ProviderError):
                raise result
            yield result

    def use(self) -> tuple[SpeechUse, ...]:
        return (SpeechUse("deepgram", "stt", seconds=TELEPHONE.duration(self.fed) / 1000),)

    async def aclose(self) -> None:
        self.closed += 1


class ScriptedSpeaker:
    """Speaks at a steady pace, `first_ms` after being asked. `fail` makes it fail."""

    def __init__(self, first_ms: float = 0.0) -> None:
        self.first_ms = first_ms
        self.said: list[str] = []
        self.cut: list[str] = []  # texts whose generator was closed before its end
        self.fail: ProviderError | None = None
        self.connector = "elevenlabs"
        self.connectors: tuple[str, ...] = ("elevenlabs", "azure")
        self.closed = 0

    async def speak(self, text: str, *, queued_ms: Callable[[], float]) -> AsyncGenerator[Speech, None]:
        self.said.append(text)
        done = False
        try:
            await pause(self.first_ms)
            if self.fail is not None:
                raise self.fail
            for character in text:
                yield Speech(
                    bytes([0x20 + ord(character) % 64]) * (8 * MS_A_CHARACTER), connector=self.connector
                )
            done = True
        finally:
            if not done and self.fail is None:
                self.cut.append(text)

    async def warm(self) -> None: ...

    def use(self) -> tuple[SpeechUse, ...]:
        return (SpeechUse("elevenlabs", "tts", characters=sum(map(len, self.said))),)

    async def aclose(self) -> None:
        self.closed += 1


Script = Sequence[ReplyPiece | float | Exception]
"""Pieces, milliseconds to wait before the next one, or what to raise."""


class ScriptedResponder:
    """Answers by script, in order; when there is none left it repeats the question."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.requests: list[TurnRequest] = []
        self.kept: list[int] = []
        self.cancelled: list[str] = []
        self.closed = 0
        self.news: asyncio.Queue[str] = asyncio.Queue()

    async def respond(self, request: TurnRequest) -> AsyncGenerator[ReplyPiece, None]:
        self.requests.append(request)
        script = self.scripts.pop(0) if self.scripts else [ReplyText(f"You said {request.text}.")]
        done = False
        try:
            for piece in script:
                if isinstance(piece, Exception):
                    done = True
                    raise piece
                if isinstance(piece, float | int):
                    await pause(piece)
                else:
                    yield piece
            yield ReplyDone(model="scripted", cost=0.01)
            done = True
        finally:
            if not done:
                self.cancelled.append(request.text)

    def keep(self, turn: int) -> None:
        self.kept.append(turn)

    async def announcements(self) -> AsyncGenerator[str, None]:
        while True:
            yield await self.news.get()

    async def aclose(self) -> None:
        self.closed += 1


class ListLog:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.turns: list[TurnRecord] = []
        self.summaries: list[CallSummary] = []
        self.measures: list[tuple[str, float]] = []

    def event(self, type: str, payload: Mapping[str, Any]) -> None:
        self.events.append((type, dict(payload)))

    def turn(self, record: TurnRecord) -> None:
        self.turns.append(record)

    def ended(self, summary: CallSummary) -> None:
        self.summaries.append(summary)

    def measure(self, name: str, value: float) -> None:
        self.measures.append((name, value))

    def of(self, type: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.events if name == type]


class ScriptedLine:
    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.transfers: list[tuple[str, str, str]] = []
        self.hung_up = 0

    async def transfer(self, to: str, *, mode: Literal["cold", "warm"], summary: str) -> None:
        if self.refuses:
            raise NotPossible(self.refuses)
        self.transfers.append((to, mode, summary))

    async def hang_up(self) -> None:
        self.hung_up += 1


class ScriptedActivity:
    """Reports the windows that the caller makes."""

    def __init__(self) -> None:
        self.report: OnWindow | None = None
        self.pushed = 0
        self.closed = 0

    def open(self, format: AudioFormat, on_window: OnWindow) -> "ScriptedActivity":
        self.report = on_window
        return self

    def push(self, audio: bytes) -> None:
        self.pushed += len(audio)

    def close(self) -> None:
        self.closed += 1
        self.report = None


@dataclass
class World:
    """Everything around one call. Change what a test needs before `live`."""

    config: SessionConfig = field(default_factory=session)
    responder: ScriptedResponder = field(default_factory=ScriptedResponder)
    line: ScriptedLine | None = field(default_factory=ScriptedLine)
    stages: Mapping[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.transport = VirtualTransport()
        self.listener = ScriptedListener()
        self.opened: list[SessionConfig] = []
        self.speaker = ScriptedSpeaker()
        self.activity = ScriptedActivity()
        self.log = ListLog()
        self.level = LOUD
        self.refuse_listener: ProviderError | None = None
        self._voiced_until = 0.0
        self._voice_from = 0.0

    async def open_listener(self, config: SessionConfig) -> ScriptedListener:
        self.opened.append(config)
        if self.refuse_listener is not None:
            raise self.refuse_listener
        if self.listener.closed:
            self.listener = ScriptedListener()
        return self.listener

    def change(self, **turn: Any) -> None:
        """Change the session's config in mid-call."""
        self.config = replace(
            self.config, turn=replace(self.config.turn, **turn), version=self.config.version + 1
        )

    @asynccontextmanager
    async def live(self) -> AsyncGenerator[Call, None]:
        """A call in progress. At the end the caller hangs up, and nothing may be left of it."""
        before = asyncio.all_tasks()
        call = Call(
            call_id="call_1",
            config=lambda: self.config,
            transport=self.transport,
            stt=self.open_listener,
            speaker=lambda config: self.speaker,
            responder=self.responder,
            activity=self.activity,
            log=self.log,
            line=self.line,
            text_stages=lambda config: self.stages,
            clock=now,
            **self.options,
        )
        self.transport.call = call
        self.call = call
        self.running = asyncio.ensure_future(call.run())
        caller = asyncio.ensure_future(self._caller(call))
        await pause(1)
        try:
            yield call
        finally:
            hung_up = now()
            call.end("caller_hung_up")
            try:
                self.summary = await self.running
            finally:
                caller.cancel()
                await asyncio.wait({caller})
            assert now() - hung_up <= 0.5, "a hang-up frees everything within half a second"
            assert asyncio.all_tasks() == before, "no task outlives its call"
            assert all(
                (self.transport.closed, self.responder.closed, self.speaker.closed, self.activity.closed)
            )
            assert self.listener.closed or not self.opened
            assert self.log.summaries == [self.summary]

    async def _caller(self, call: Call) -> None:
        frame, window = now(), now()
        while True:
            at = min(frame + 0.020, window + WINDOW_MS / 1000)
            await asyncio.sleep(max(0.0, at - now()))
            if now() >= frame + 0.0199:
                frame += 0.020
                call.audio(TELEPHONE.silence * 160, None)
            if now() >= window + (WINDOW_MS - 0.1) / 1000:
                window += WINDOW_MS / 1000
                self._window()

    def _window(self) -> None:
        if self.activity.report is not None:
            at = now()
            voiced = self._voice_from < at - 0.001 and at - WINDOW_MS / 1000 < self._voiced_until - 0.001
            self.activity.report(
                Window(at * 1000, 0.95 if voiced else 0.02, self.level if voiced else FAINT, at * 1000)
            )

    def voice(self, milliseconds: float) -> None:
        """The caller makes a sound from now on."""
        self._voice_from = now()
        self._voiced_until = now() + milliseconds / 1000

    async def say(self, text: str, milliseconds: float = 800, *, partial: bool = True) -> float:
        """The caller speaks; the words are there a little before the end. Returns when it ended."""
        self.voice(milliseconds)
        await pause(milliseconds - 60)
        self.listener.hear(text, partial=partial)
        await pause(60)
        return now()

    async def silenced(self, milliseconds: float) -> bool:
        """Tell whether nothing is sent to the caller for so long."""
        before = len(self.transport.sent)
        await pause(milliseconds)
        return len(self.transport.sent) == before

    async def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> None:
        end = now() + seconds
        while not condition():
            assert now() < end, "it did not happen"
            await pause(5)

    async def answered(self, count: int = 1) -> None:
        """Wait until so many turns are over."""
        await self.until(lambda: len(self.log.turns) >= count)


def broken(message: str = "down") -> ProviderError:
    return ProviderError(Failure.CONNECTION, message, provider="scripted")


Test = Callable[[], Awaitable[None]]
