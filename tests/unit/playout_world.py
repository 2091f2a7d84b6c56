"""A caller's end of the line for playout tests: plays what arrives, in virtual time, and knows what was heard."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from voice.audio import TELEPHONE, AudioFormat
from voice.connectors.types import Speech, WordTime
from voice.pipeline import mulaw


@dataclass
class Heard:
    at: float  # seconds
    audio: bytes


@dataclass
class Player:
    """A transport with a far end: FIFO both ways, each message with a delay of its own. `delay` in seconds."""

    delay: Callable[[], float] = lambda: 0.05
    format: AudioFormat = TELEPHONE
    name: str = "player"
    heard: list[Heard] = field(default_factory=list)
    log: list[tuple[str, float, object]] = field(default_factory=list)  # what was sent, when
    on_mark: Callable[[str], None] = lambda name: None
    blocked: asyncio.Event | None = None  # sends wait for it
    starved: int = 0
    _ends: float = 0.0
    _down: float = 0.0
    _up: float = 0.0
    _marks: list[tuple[str, asyncio.TimerHandle]] = field(default_factory=list)

    async def send_audio(self, audio: bytes) -> None:
        if self.blocked is not None:
            await self.blocked.wait()
        self._note("audio", audio)
        self._arrive(lambda: self._play(audio))

    async def send_mark(self, name: str) -> None:
        self._note("mark", name)
        self._arrive(lambda: self._wait(name))

    async def clear(self) -> None:
        self._note("clear", None)
        self._arrive(self._drop)

    async def aclose(self) -> None: ...

    def heard_ms(self, since: float = 0.0) -> float:
        """What was played by now of what began to play after a time."""
        now = asyncio.get_running_loop().time()
        return sum(
            min(self.format.duration(len(each.audio)), max(0.0, (now - each.at) * 1000))
            for each in self.heard
            if each.at >= since
        )

    def _note(self, what: str, value: object) -> None:
        self.log.append((what, asyncio.get_running_loop().time(), value))

    def _arrive(self, act: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._down = max(self._down + 1e-6, loop.time() + self.delay())
        loop.call_at(self._down, act)

    def _play(self, audio: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self.starved += self._ends < now
        starts = max(now, self._ends)
        self.heard.append(Heard(starts, audio))
        self._ends = starts + self.format.duration(len(audio)) / 1000

    def _wait(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        handle = loop.call_at(max(loop.time(), self._ends), lambda: self._echo(name))
        self._marks.append((name, handle))

    def _echo(self, name: str) -> None:
        self._marks = [mark for mark in self._marks if mark[0] != name]
        loop = asyncio.get_running_loop()
        self._up = max(self._up + 1e-6, loop.time() + self.delay())
        loop.call_at(self._up, lambda: self.on_mark(name))

    def _drop(self) -> None:
        now = asyncio.get_running_loop().time()
        kept = []
        for each in self.heard:
            played = self.format.size(max(0.0, (now - each.at) * 1000))
            if played:
                kept.append(Heard(each.at, each.audio[:played]))
        self.heard = kept
        self._ends = min(self._ends, now)
        for name, handle in list(self._marks):
            handle.cancel()
            self._echo(name)


@dataclass(frozen=True)
class Voice:
    """A clause as some voice would speak it."""

    text: str
    audio: bytes
    words: tuple[WordTime, ...]  # when each begins
    ends: tuple[float, ...]  # and is over

    def spoken(self, played_ms: float) -> int:
        """The words of which half was heard."""
        return sum(
            (word.at_ms + end) / 2 <= played_ms for word, end in zip(self.words, self.ends, strict=True)
        )


def say(text: str, random: random.Random) -> Voice:
    """Speak by a voice that takes 50-80 ms a letter, is uneven by a quarter and pauses at signs."""
    pace = random.uniform(50, 80)
    at = random.uniform(0, 120)  # silence before the first word
    parts = [_silence(at)]
    words, ends = [], []
    start = 0
    for word in text.split():
        start = text.index(word, start)
        letters = sum(each.isalnum() for each in word)
        length = max(90.0, letters * pace * random.uniform(0.75, 1.25))
        parts.append(_tone(length))
        words.append(WordTime(start, start + len(word), at))
        ends.append(at + length)
        pause = {",": 220, ".": 350, "?": 350, "!": 350}.get(word[-1], 0) * random.uniform(0.5, 1.2)
        parts.append(_silence(pause))
        at = sum(TELEPHONE.duration(len(part)) for part in parts)
        start += len(word)
    return Voice(text, b"".join(parts), tuple(words), tuple(ends))


def pieces(voice: Voice, random: random.Random, *, timed: bool) -> list[Speech]:
    """Cut it as services do; a piece's word times are those of its own audio."""
    found, at = [], 0
    while at < len(voice.audio):
        size = random.randint(400, 3200)
        begins, ends = TELEPHONE.duration(at), TELEPHONE.duration(at + size)
        words = tuple(word for word in voice.words if begins <= word.at_ms < ends) if timed else ()
        found.append(Speech(voice.audio[at : at + size], words))
        at += size
    return found


def _tone(milliseconds: float) -> bytes:
    count = TELEPHONE.size(milliseconds)
    return mulaw.encode((np.sin(np.arange(count) * 0.4) * 6000).astype("<i2").tobytes())


def _silence(milliseconds: float) -> bytes:
    return TELEPHONE.silence * TELEPHONE.size(milliseconds)
