"""A voice that lives outside: its audio comes as it is made; a clause whose stage dies is spoken anew."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from voice.connectors.base import Speaker
from voice.connectors.types import Speech, SpeechUse

from .dispatch import StageAway, Work
from .messages import read_speech, read_use
from .outside import Outside

TRIES: Final = 2  # of members outside, for one clause
_ACKNOWLEDGE: Final = 25  # pieces


class RemoteSpeaker:
    """A `Speaker`. `own` is the one of this process, for when no stage does it."""

    def __init__(self, outside: Outside, own: Speaker) -> None:
        self._outside = outside
        self._own = own
        self._used: dict[str, SpeechUse] = {}

    @property
    def connectors(self) -> tuple[str, ...]:
        return ()  # the stage knows

    async def speak(self, text: str, *, queued_ms: Callable[[], float]) -> AsyncGenerator[Speech, None]:
        told = False  # the caller may have heard some of it
        for attempt in range(TRIES):
            pieces = self._elsewhere(text, queued_ms, fresh=attempt > 0)
            try:
                async with aclosing(_anew(pieces, told)) as anew:
                    async for piece in anew:
                        told = True
                        yield piece
                return
            except StageAway as error:
                again = error.reason in ("died", "gap") and attempt + 1 < TRIES
                self._outside.away(error, "another" if again else "in process")
                if not again:
                    break
        async with aclosing(_anew(self._own.speak(text, queued_ms=queued_ms), told)) as anew:
            async for piece in anew:
                yield piece

    async def warm(self) -> None:
        """Have a stage open what it needs. Our own voice is warmed when it is needed."""
        try:
            work = self._outside.start("tts", {"warm": True})
        except StageAway:
            await self._own.warm()
            return
        work.close()

    def use(self) -> tuple[SpeechUse, ...]:
        return (*self._used.values(), *self._own.use())

    async def aclose(self) -> None:
        self._outside.drop_spoken()
        await self._own.aclose()

    async def _elsewhere(
        self, text: str, queued_ms: Callable[[], float], *, fresh: bool
    ) -> AsyncGenerator[Speech, None]:
        work = self._handed_on(text, fresh=fresh) or self._outside.start(
            "tts", {"text": text, "queued_ms": round(queued_ms())}
        )
        came = 0
        try:
            while True:
                message = await work.next()
                if message.type == "audio":
                    came += 1
                    if came % _ACKNOWLEDGE == 0:
                        work.send("more", number=_ACKNOWLEDGE)
                    yield read_speech(message)
                elif message.type == "done":
                    self._note(read_use(message.fields.get("use")))
                    return
        finally:
            work.close()

    def _handed_on(self, text: str, *, fresh: bool) -> Work | None:
        """The work that a text stage has given to the voice already, if it is about this clause."""
        spoken, self._outside.spoken = self._outside.spoken, None
        if spoken is None:
            return None
        if fresh or spoken[0] != text.strip():
            spoken[1].close()
            return None
        return spoken[1]

    def _note(self, use: tuple[SpeechUse, ...]) -> None:
        for line in use:
            before = self._used.get(line.connector, SpeechUse(line.connector, line.kind))
            self._used[line.connector] = SpeechUse(
                line.connector,
                line.kind,
                seconds=before.seconds + line.seconds,
                characters=before.characters + line.characters,
                cost=before.cost + line.cost,
            )


async def _anew(pieces: AsyncGenerator[Speech, None], told: bool) -> AsyncGenerator[Speech, None]:
    """The pieces of a clause; the first says that it begins again, if some of it was told before."""
    async with aclosing(pieces):
        async for piece in pieces:
            yield replace(piece, restarts=True) if told else piece
            told = False
