"""The recogniser of one call: opened, fed, exchanged when the config changes, replaced when it is lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from agents.providers.errors import ProviderError
from voice.audio import AudioFormat
from voice.config import SessionConfig
from voice.connectors.base import Listener
from voice.connectors.types import SpeechUse, Transcript

from .tasks import Tasks

log = logging.getLogger(__name__)

OpenListener = Callable[[SessionConfig], Awaitable[Listener]]

_KEPT_MS: Final = 5000.0  # that waits for a recogniser to be opened
# Audio goes out in pieces, since each costs a message: short ones while the caller speaks, long ones of silence.
# What is held goes at once when speech begins or ends, and when a turn does.
_SPOKEN_MS: Final = 40.0
_QUIET_MS: Final = 200.0
_AGAIN_SECONDS: Final = 30.0  # a recogniser that is lost twice within this is not worth a third
_CLOSING_SECONDS: Final = 0.4


class Hearing:
    """`feed` and the other plain methods return at once. `on_transcript` is told every result,
    `on_renewed` that what was asked of the listener before is not answered any more, `on_lost` that none is left."""

    def __init__(
        self,
        open: OpenListener,
        format: AudioFormat,
        tasks: Tasks,
        clock: Callable[[], float],
        *,
        on_transcript: Callable[[Transcript], None],
        on_renewed: Callable[[], None],
        on_lost: Callable[[ProviderError], None],
    ) -> None:
        self._open = open
        self._tasks = tasks
        self._clock = clock
        self._on_transcript = on_transcript
        self._on_renewed = on_renewed
        self._on_lost = on_lost
        self._listener: Listener | None = None
        self._held = bytearray()  # not passed on yet
        self._most_held = format.size(_KEPT_MS)
        self._pieces = {True: format.size(_SPOKEN_MS), False: format.size(_QUIET_MS)}  # while speaking
        self._reading: asyncio.Task[None] | None = None
        self._lost_at: float | None = None
        self._used: list[SpeechUse] = []
        self._retired: list[Listener] = []  # not closed yet
        self._speaking = False

    @property
    def connector(self) -> str:
        return self._listener.connector if self._listener is not None else ""

    @property
    def connectors(self) -> tuple[str, ...]:
        return self._listener.connectors if self._listener is not None else ()

    def use(self) -> tuple[SpeechUse, ...]:
        own = self._listener.use() if self._listener is not None else ()
        return (*self._used, *own)

    def feed(self, audio: bytes) -> None:
        self._held += audio
        if self._listener is None:
            del self._held[: -self._most_held]
        elif len(self._held) >= self._pieces[self._speaking]:
            self._pass_on()

    def finish_turn(self) -> None:
        if self._listener is not None:
            self._pass_on()
            self._listener.finish_turn()

    def speaking(self, speaking: bool) -> None:
        """The caller is heard speaking, or not any more."""
        if speaking == self._speaking:
            return
        self._speaking = speaking
        if self._listener is not None:
            self._pass_on()
            if speaking:
                self._listener.speech_began()
            else:
                self._listener.speech_ended()

    async def open(self, config: SessionConfig) -> None:
        """Begin to listen, or listen by other services from now on. Raises `ProviderError`."""
        listener = await self._open(config)
        old, self._listener = self._listener, listener
        self._pass_on()
        if self._speaking:
            listener.speech_began()
        if self._reading is not None:
            self._reading.cancel()
        self._reading = self._tasks.spawn(self._read(listener, config), "hearing")
        self._on_renewed()
        if old is not None:
            self._used.extend(old.use())
            self._retired.append(old)
            self._tasks.spawn(self._close(old), "retired recogniser")

    def _pass_on(self) -> None:
        if self._held and self._listener is not None:
            audio = bytes(self._held)
            self._held.clear()
            self._listener.feed(audio)

    async def _read(self, listener: Listener, config: SessionConfig) -> None:
        try:
            async with aclosing(listener.results()) as results:
                async for transcript in results:
                    self._on_transcript(transcript)
        except ProviderError as error:
            await self._replace(error, config)

    async def _replace(self, error: ProviderError, config: SessionConfig) -> None:
        """Every service of the chain was lost: once more from the beginning, or the end."""
        now = self._clock()
        again = self._lost_at is None or now - self._lost_at > _AGAIN_SECONDS
        self._lost_at = now
        lost, self._listener, self._reading = self._listener, None, None
        if lost is not None:
            self._used.extend(lost.use())
            self._retired.append(lost)
            await self._close(lost)
        if again:
            try:
                await self.open(config)
                return
            except ProviderError as next_error:
                error = next_error
        self._on_lost(error)

    async def aclose(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._used.extend(listener.use())
            self._retired.append(listener)
        await asyncio.gather(*map(self._close, list(self._retired)))

    async def _close(self, listener: Listener) -> None:
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await listener.aclose()
        except (TimeoutError, ProviderError) as error:
            log.warning("a recogniser did not close: %r", error)
        if listener in self._retired:
            self._retired.remove(listener)
