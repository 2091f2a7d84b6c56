"""A recogniser that lives outside: audio goes there, words come back. When its stage dies, another member of its
group, or this process, hears the turn again."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from agents.providers.errors import ProviderError
from voice.connectors.base import Listener
from voice.connectors.inbox import Inbox
from voice.connectors.overlap import plain, unsaid
from voice.connectors.ring import Ring
from voice.connectors.types import SpeechUse, Transcript

from .dispatch import StageAway, Work
from .messages import frames, read_use
from .outside import Outside

TRIES: Final = 3  # of members outside, for one call

OpenOwn = Callable[[], Awaitable[Listener]]


class RemoteListener:
    """A `Listener`. `own` opens the one of this process, for when no stage listens. Made on the loop."""

    def __init__(self, outside: Outside, own: OpenOwn) -> None:
        self._outside = outside
        self._open_own = own
        self._format = outside.format
        self._ring = Ring(outside.format)
        self._inbox: Inbox[Transcript] = Inbox()
        self._ear: Work | Listener | None = None
        self._in_turn = False
        self._speaking = False
        self._finishes: deque[int] = deque()  # where the caller paused; not answered yet
        self._said: list[str] = []  # words of finals of this turn
        self._repeats = False  # who listens now has heard the turn again
        self._connector = ""
        self._used: list[SpeechUse] = []  # by those who do not listen any more
        self._use: tuple[SpeechUse, ...] = ()
        self._task = asyncio.create_task(self._run(), name="stt outside")

    @property
    def connector(self) -> str:
        return self._connector

    @property
    def connectors(self) -> tuple[str, ...]:
        return ()  # the stage knows

    def feed(self, audio: bytes) -> None:
        self._ring.push(audio, idle=not self._in_turn)
        self._hand(audio)

    def speech_began(self) -> None:
        self._in_turn = self._speaking = True
        self._tell("began")

    def speech_ended(self) -> None:
        self._speaking = False
        self._tell("ended")

    def finish_turn(self) -> None:
        self._finishes.append(self._ring.end)
        self._tell("finish")

    async def results(self) -> AsyncGenerator[Transcript, None]:
        async for transcript in self._inbox.read():
            yield transcript

    def use(self) -> tuple[SpeechUse, ...]:
        own = self._use if not self._ear or isinstance(self._ear, Work) else self._ear.use()
        return (*self._used, *own)

    async def aclose(self) -> None:
        self._inbox.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            for attempt in range(TRIES):
                try:
                    await self._elsewhere()
                    return
                except StageAway as error:
                    again = error.reason in ("died", "gap") and attempt + 1 < TRIES
                    self._outside.away(error, "another" if again else "in process")
                    if not again:
                        break
            await self._here()
        except ProviderError as error:
            self._inbox.fail(error)
        finally:
            self._inbox.close()

    async def _elsewhere(self) -> None:
        work = self._outside.start("stt", {})
        try:
            while True:
                message = await work.next()
                if message.type == "accepted":
                    self._take(work)
                elif message.type == "transcript":
                    self._use = read_use(message.fields["use"])
                    self._heard(Transcript(**message.fields["heard"]), message.fields["connector"])
        finally:
            self._ear = None
            self._used.extend(self._use)
            self._use = ()
            work.close()

    async def _here(self) -> None:
        listener = await self._open_own()
        try:
            self._take(listener)
            async with aclosing(listener.results()) as results:
                async for transcript in results:
                    self._heard(transcript, listener.connector)
        finally:
            self._ear = None
            self._used.extend(listener.use())
            await listener.aclose()

    def _take(self, ear: Work | Listener) -> None:
        """Let somebody listen from now on, and hear what is kept of the turn."""
        self._ear = ear
        self._repeats = bool(self._said)
        if self._in_turn:
            self._tell("began")
        position = self._ring.start
        for finish in self._finishes:
            self._hand(self._ring.since(position)[: max(0, finish - max(position, self._ring.start))])
            self._tell("finish")
            position = finish
        self._hand(self._ring.since(position))
        if self._in_turn and not self._speaking:
            self._tell("ended")

    def _hand(self, audio: bytes) -> None:
        if not audio:
            return
        if isinstance(self._ear, Work):
            for frame in frames(audio, self._format):
                self._ear.feed(frame)
        elif self._ear is not None:
            self._ear.feed(audio)

    def _tell(self, what: str) -> None:
        ear = self._ear
        if isinstance(ear, Work):
            ear.send(what)
        elif ear is not None:
            {"began": ear.speech_began, "ended": ear.speech_ended, "finish": ear.finish_turn}[what]()

    def _heard(self, heard: Transcript, connector: str) -> None:
        self._connector = connector or self._connector
        if heard.text and self._repeats:
            text = unsaid(self._said, heard.text)
            if heard.final:
                self._repeats = False
            heard = replace(heard, text=text)
        if heard.final:
            self._said += plain(heard.text)
        if heard.closes:
            if self._finishes:
                self._ring.settle(self._finishes.popleft())
            if not self._finishes:
                self._said.clear()
                self._repeats = False
                self._in_turn = self._speaking
        self._inbox.put(heard)
