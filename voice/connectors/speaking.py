"""Voices as one: the first with audio is heard; when it is late, or dies in the clause, another one speaks the
clause anew."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Final

from agents.providers.errors import ProviderError
from agents.resilience.deadline import Clock
from agents.resilience.policy import TABLE
from voice.audio import AudioFormat

from .base import TextToSpeech
from .hedge import DEMOTED, FIRST_AUDIO, LOW, Candidate, Meter, internal, late, unavailable
from .ports import SpeechObserver
from .types import Speech, SpeechUse, TtsOptions

LONG_SILENCE: Final = 1000.0  # ms after which a backup is started even if there is much left to play

Mouth = Candidate[TextToSpeech]


class HedgedSpeaker:
    """What one call speaks by; satisfies `base.Speaker`."""

    def __init__(
        self,
        candidates: Sequence[tuple[Mouth, TtsOptions]],
        format: AudioFormat,
        *,
        clock: Clock,
        observer: SpeechObserver,
    ) -> None:
        self._options = dict(candidates)
        self._format = format
        self._clock = clock
        self._observer = observer
        self._meter = Meter("tts")
        self._demoted: dict[Mouth, float] = {}  # until when

    @property
    def connectors(self) -> tuple[str, ...]:
        return tuple(candidate.name for candidate in self._options)

    async def speak(self, text: str, *, queued_ms: Callable[[], float]) -> AsyncGenerator[Speech, None]:
        clause = _Clause(self, text, queued_ms)
        try:
            async for piece in clause.run():
                yield piece
        finally:
            await clause.aclose()

    async def warm(self) -> None:
        for candidate in self._order():
            if candidate.refusal() is None:
                await candidate.service.warm(self._format, self._options[candidate])
                return

    def use(self) -> tuple[SpeechUse, ...]:
        return self._meter.use()

    async def aclose(self) -> None:
        """Nothing: voices belong to the gateway."""

    def _order(self) -> list[Mouth]:
        """The chain, those last that this call has lately found wanting: a caller is better off with one
        voice."""
        now = self._clock()
        return sorted(self._options, key=lambda candidate: self._demoted.get(candidate, 0.0) > now)


class _Clause:
    """One clause and all who try to speak it."""

    def __init__(self, speaker: HedgedSpeaker, text: str, queued_ms: Callable[[], float]) -> None:
        self.speaker = speaker
        self.text = text
        self._queued_ms = queued_ms
        self._news: asyncio.Queue[tuple[_Attempt, Speech | ProviderError | None]] = asyncio.Queue()
        self._live: list[_Attempt] = []
        self._leader: _Attempt | None = None
        self._begun = False  # some audio has been passed on
        self._news_at = 0.0
        self._failures: dict[Mouth, ProviderError] = {}
        self._tries: Counter[Mouth] = Counter()
        self._all: list[asyncio.Task[None]] = []

    async def run(self) -> AsyncGenerator[Speech, None]:
        self._start()
        while True:
            try:
                async with asyncio.timeout(self._patience()):
                    attempt, news = await self._news.get()
            except TimeoutError:
                self._start((self._leader or self._live[0]).name, "stalled" if self._leader else "late")
                continue
            if attempt not in self._live:
                continue
            if isinstance(news, Speech):
                yield self._heard(attempt, news)
            elif news is None:
                attempt.permit.succeeded()
                return
            else:
                self._failed(attempt, news)

    async def aclose(self) -> None:
        for attempt in list(self._live):
            self._stop(attempt)
        await asyncio.gather(*self._all, return_exceptions=True)
        # Attempts hold their clause: without these circles nothing waits for the collector of garbage.
        self._leader = None
        self._all.clear()
        self._failures.clear()
        while not self._news.empty():
            self._news.get_nowait()

    def post(self, attempt: "_Attempt", news: Speech | ProviderError | None) -> None:
        self._news.put_nowait((attempt, news))

    def _pick(self) -> Mouth | None:
        """Return who is asked next: the others in order, then those who failed in a way that may have passed."""
        busy = {attempt.candidate for attempt in self._live}
        for tries in (0, 1):
            for candidate in self.speaker._order():
                failure = self._failures.get(candidate)
                if (
                    self._tries[candidate] == tries
                    and candidate not in busy
                    and (failure is None or TABLE[failure.category].retry)
                    and candidate.refusal() is None
                ):
                    return candidate
        return None

    def _start(self, slow: str = "", reason: str = "") -> None:
        """Start the next service. Raises `ProviderError` when there is none and nobody is at it."""
        candidate = self._pick()
        if candidate is None:
            if self._live:
                return
            refusals = (candidate.refusal() for candidate in self.speaker._options)
            raise unavailable("tts", [*filter(None, refusals), *self._failures.values()])
        if slow:
            self.speaker._observer.hedged(kind="tts", slow=slow, to=candidate.name, reason=reason)
        self._tries[candidate] += 1
        self._news_at = self.speaker._clock()
        attempt = _Attempt(self, candidate)
        self._live.append(attempt)
        self._all.append(attempt.task)

    def _patience(self) -> float | None:
        """Seconds until a backup is due; None when there is none left to start."""
        if self._pick() is None:
            return None
        waited = (self.speaker._clock() - self._news_at) * 1000
        first = self._leader is None
        allowed = self._live[-1].candidate.pace.patience if first else FIRST_AUDIO
        spare = self._queued_ms() - LOW  # what plays while we wait
        left = min(max(allowed - waited, spare), max(allowed, LONG_SILENCE) - waited)
        return max(left, 0.0) / 1000

    def _heard(self, attempt: "_Attempt", piece: Speech) -> Speech:
        speaker = self.speaker
        self._news_at = speaker._clock()
        if attempt is not self._leader:
            waited = (self._news_at - attempt.began) * 1000
            attempt.candidate.pace.answered(waited)
            speaker._observer.first_result(kind="tts", connector=attempt.name, milliseconds=waited)
            piece = replace(piece, restarts=self._begun)
        for other in list(self._live):
            if other is not attempt:
                # Who began later has lost to the one that was late after all: no blame.
                if other is self._leader or other.began < attempt.began:
                    self._blame(other)
                self._stop(other)
        self._leader = attempt
        self._begun = True
        return piece

    def _blame(self, attempt: "_Attempt") -> None:
        waited = (self.speaker._clock() - attempt.began) * 1000
        error = late(attempt.name, waited)
        attempt.permit.failed(error)
        if attempt is not self._leader:
            attempt.candidate.pace.gave_up(waited)
        self._demote(attempt, error)

    def _failed(self, attempt: "_Attempt", error: ProviderError) -> None:
        if not attempt.refused:  # by its own breaker, which knows
            attempt.permit.failed(error)
        self._failures[attempt.candidate] = error
        self._demote(attempt, error)
        self._live.remove(attempt)
        if attempt is self._leader:
            self._leader = None
        if not self._live:
            self._start(attempt.name, str(error.category))

    def _demote(self, attempt: "_Attempt", error: ProviderError) -> None:
        speaker = self.speaker
        speaker._demoted[attempt.candidate] = speaker._clock() + DEMOTED
        speaker._observer.failed(kind="tts", connector=attempt.name, failure=error.category)

    def _stop(self, attempt: "_Attempt") -> None:
        self._live.remove(attempt)
        attempt.task.cancel()
        attempt.permit.abandoned()


class _Attempt:
    """One service speaking the clause."""

    def __init__(self, clause: _Clause, candidate: Mouth) -> None:
        self.candidate = candidate
        self.name = candidate.name
        self.permit = candidate.permit()
        self.began = clause.speaker._clock()
        self.refused = False
        self._clause = clause
        self.task = asyncio.create_task(self._run(), name=f"tts {candidate.name}")

    async def _run(self) -> None:
        clause, speaker = self._clause, self._clause.speaker
        try:
            await self.permit.enter()
        except ProviderError as error:
            self.refused = True
            clause.post(self, error)
            return
        try:
            speaker._meter.spoke(self.name, len(clause.text))
            stream = self.candidate.service.synthesize(
                clause.text, speaker._format, speaker._options[self.candidate]
            )
            try:
                async for piece in stream:
                    clause.post(self, piece)
                    # Much of a clause may come at once: what is here is queued by the one who reads, and sent by the
                    # one who plays, before the rest is unpacked.
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
            finally:
                await stream.aclose()
            clause.post(self, None)
        except ProviderError as error:
            clause.post(self, error)
        except Exception as error:
            clause.post(self, internal(self.name, error))
