"""Recognisers as one: the first that hears the caller goes on; when it is lost or late, another one hears the
turn again, faster than it was spoken, and no word is lost."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Final

from agents.providers.errors import Failure, ProviderError
from agents.resilience.deadline import Clock
from voice.audio import AudioFormat

from .base import SpeechToText, Transcription
from .hedge import Candidate, Meter, internal, late, unavailable
from .inbox import Inbox
from .overlap import plain, unsaid
from .ports import SpeechObserver
from .ring import Ring
from .types import SpeechUse, SttOptions, Transcript

RETRIES: Final = (0.0, 0.2, 1.0)  # seconds before the tries of one service in one turn
NO_ANSWER: Final = 3.0  # seconds after which a turn is closed with the words in hand, if any
NO_ANSWER_BATCH: Final = 10.0  # the same for services that only work at the turn's end

ONSET: Final = 250.0  # ms before a voice was noticed that belong to it

Ears = Candidate[SpeechToText]


class HedgedTranscription:
    """One caller's audio through a chain of recognisers; satisfies `base.Listener`. Made on the loop."""

    def __init__(
        self,
        candidates: Sequence[tuple[Ears, SttOptions]],
        format: AudioFormat,
        *,
        clock: Clock,
        observer: SpeechObserver,
    ) -> None:
        self._options = dict(candidates)
        self._format = format
        self._clock = clock
        self._observer = observer
        self._inbox: Inbox[Transcript] = Inbox()
        self._meter = Meter("stt")
        self._ring = Ring(format)
        self._live: list[_Runner] = []  # the first leads; more than one: a race
        self._ending: set[asyncio.Task[None]] = set()
        self._losses: Counter[Ears] = Counter()  # in this turn
        self._errors: list[ProviderError] = []
        self._finishes: deque[int] = deque()  # where the caller paused; not answered yet
        self._finish_at = 0.0
        self._said: list[str] = []  # words of finals whose audio is still in the ring
        self._partial = ""
        self._in_turn = False
        self._turn_from = 0  # where in the ring the turn begins
        self._speech_at: float | None = None  # when speech began that has no words yet
        self._alarms: dict[str, asyncio.TimerHandle] = {}
        self._connector = ""
        if not self._start_next("start"):
            self._inbox.fail(unavailable("stt", self._errors))

    @property
    def connector(self) -> str:
        return self._connector or (self._live[0].name if self._live else "")

    @property
    def connectors(self) -> tuple[str, ...]:
        return tuple(candidate.name for candidate in self._options)

    def feed(self, audio: bytes) -> None:
        self._ring.push(audio, idle=not self._in_turn)
        for runner in self._live:
            if self._in_turn or runner.candidate.service.partials:
                runner.feed(audio)

    def speech_began(self) -> None:
        if not self._in_turn:
            self._turn_from = self._ring.end - self._format.size(ONSET)
            for runner in self._live:
                if not runner.candidate.service.partials:
                    # Who hears a turn as a whole would take the agent's echo before it for a part of it.
                    runner.skip_to(self._turn_from)
        self._in_turn = True
        self._speech_at = self._clock()
        if self._live and self._live[0].candidate.service.partials:
            self._alarm("words", self._live[0].candidate.pace.patience)

    def speech_ended(self) -> None:
        self._silence("words")

    def finish_turn(self) -> None:
        self._silence("words")
        self._finishes.append(self._ring.end)
        self._finish_at = self._clock()
        for runner in self._live:
            runner.finish_turn()
        if self._live:
            candidate = self._live[0].candidate
            self._alarm("finals", candidate.closing.patience)
            batch = not candidate.service.partials
            self._alarm("no answer", (NO_ANSWER_BATCH if batch else NO_ANSWER) * 1000)

    async def results(self) -> AsyncGenerator[Transcript, None]:
        async for transcript in self._inbox.read():
            yield transcript

    def use(self) -> tuple[SpeechUse, ...]:
        return self._meter.use()

    async def aclose(self) -> None:
        self._inbox.close()
        for name in list(self._alarms):
            self._silence(name)
        for runner in list(self._live):
            self._stop(runner)
        await asyncio.gather(*self._ending, return_exceptions=True)

    # Who listens.

    def _start_next(self, reason: str) -> bool:
        """Start the next service; False when there is none to start."""
        busy = {runner.candidate for runner in self._live}
        able: list[tuple[int, int, Ears]] = []
        for index, candidate in enumerate(self._options):
            if candidate in busy or self._losses[candidate] >= len(RETRIES):
                continue
            if error := candidate.refusal():
                self._errors.append(error)
                continue
            able.append((self._losses[candidate], index, candidate))
        if not able:
            return False
        losses, _, candidate = min(able, key=lambda item: item[:2])
        if reason != "start":
            slow = self._live[0].name if self._live else self._connector
            self._observer.hedged(kind="stt", slow=slow, to=candidate.name, reason=reason)
        runner = _Runner(self, candidate, self._ring.start, RETRIES[losses], repeats=bool(self._said))
        self._live.append(runner)
        return True

    def _race(self, alarm: str) -> None:
        """The one who listens is late: start another beside him. What he does not say in time, that one will."""
        del self._alarms[alarm]
        if self._live and self._start_next("late"):
            self._alarm(alarm, self._live[-1].candidate.pace.patience)

    def _won(self, winner: "_Runner") -> None:
        """Several were listening, and this one spoke first."""
        leader = self._live[0]
        if winner is not leader:
            since = self._speech_at if self._speech_at is not None else self._finish_at
            waited = (self._clock() - since) * 1000
            leader.candidate.pace.gave_up(waited)
            leader.give_up(late(leader.name, waited))
            self._losses[leader.candidate] += 1
        for runner in list(self._live):
            if runner is not winner:
                self._stop(runner)
        self._live = [winner]

    def _stop(self, runner: "_Runner") -> None:
        if runner in self._live:
            self._live.remove(runner)
        runner.task.cancel()

    # What runners tell.

    def _runs(self, task: asyncio.Task[None]) -> None:
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _opened(self, runner: "_Runner") -> None:
        """Let a service hear what it has missed."""
        runner.start = max(runner.start, self._ring.start)  # what was given up meanwhile
        if not runner.candidate.service.partials:
            runner.start = max(runner.start, self._turn_from if self._in_turn else self._ring.end)
        runner.feed(self._ring.since(runner.start))
        for _ in self._finishes:
            runner.finish_turn()

    def _lost(self, runner: "_Runner", error: ProviderError) -> None:
        if runner not in self._live:
            return
        self._observer.failed(kind="stt", connector=runner.name, failure=error.category)
        self._errors.append(error)
        self._losses[runner.candidate] += 1
        self._connector = self._connector or runner.name
        self._live.remove(runner)
        if self._live:
            return
        if not self._start_next(str(error.category)):
            self._inbox.fail(unavailable("stt", self._errors))
            return
        # Who takes over gets his own time.
        candidate = self._live[0].candidate
        for alarm, pace in (("words", candidate.pace), ("finals", candidate.closing)):
            if alarm in self._alarms:
                self._alarm(alarm, pace.patience)
        if not candidate.service.partials:
            self._silence("words")

    def _heard(self, runner: "_Runner", transcript: Transcript) -> None:
        if runner not in self._live:
            return
        leads = runner is self._live[0]
        if not transcript.text and not leads:
            return  # who has heard nothing either does not win
        if len(self._live) > 1 and (transcript.text or transcript.closes):
            self._won(runner)
        if transcript.text:
            self._words(runner)
        if not transcript.final:
            self._partial = transcript.text
            self._inbox.put(transcript)
            return
        self._partial = ""
        self._final(runner, transcript)

    def _words(self, runner: "_Runner") -> None:
        self._connector = runner.name
        self._silence("words")
        self._in_turn = True
        self._losses.pop(runner.candidate, None)
        if self._speech_at is not None:
            waited = (self._clock() - self._speech_at) * 1000
            self._speech_at = None
            if runner.candidate.service.partials:
                runner.candidate.pace.answered(waited)
                self._observer.first_result(kind="stt", connector=runner.name, milliseconds=waited)

    def _final(self, runner: "_Runner", transcript: Transcript) -> None:
        text = transcript.text
        if runner.repeats and text:
            text = unsaid(self._said, text)
            runner.repeats = False
        closes = transcript.closes and bool(self._finishes)
        if closes:
            runner.candidate.closing.answered((self._clock() - self._finish_at) * 1000)
            self._settle(self._finishes.popleft())
            self._closed()
        elif transcript.until_ms is not None:
            self._settle(runner.start + self._format.size(transcript.until_ms))
        else:
            self._said += plain(text)
        if text or closes or transcript.endpoint:
            self._inbox.put(replace(transcript, text=text, closes=closes))

    def _settle(self, position: int) -> None:
        """Every word before a position is known."""
        self._ring.settle(position)
        self._said.clear()

    def _closed(self) -> None:
        """A turn has its finals."""
        if not self._finishes:
            self._silence("finals")
            self._silence("no answer")
        self._losses.clear()
        self._errors.clear()
        self._in_turn = False
        self._speech_at = None

    def _close_without(self) -> None:
        """Nobody answers: better the words in hand than a caller who waits for ever."""
        del self._alarms["no answer"]
        text, self._partial = self._partial, ""
        while self._finishes:
            self._settle(self._finishes.popleft())
            self._inbox.put(Transcript(text, final=True, closes=True))
            text = ""
        self._closed()

    # Time.

    def _alarm(self, name: str, milliseconds: float) -> None:
        self._silence(name)
        loop = asyncio.get_running_loop()
        if name == "no answer":
            self._alarms[name] = loop.call_later(milliseconds / 1000, self._close_without)
        else:
            self._alarms[name] = loop.call_later(milliseconds / 1000, self._race, name)

    def _silence(self, name: str) -> None:
        if alarm := self._alarms.pop(name, None):
            alarm.cancel()


class _Runner:
    """One service listening to the caller, from position `start` of the ring on."""

    def __init__(
        self, hub: HedgedTranscription, candidate: Ears, start: int, delay: float, *, repeats: bool
    ) -> None:
        self.candidate = candidate
        self.name = candidate.name
        self.start = start
        self.repeats = repeats  # its first finals hold words that were told already
        self._hub = hub
        self._permit = candidate.permit()
        self._stream: Transcription | None = None
        self._fed = 0  # bytes
        self.task = asyncio.create_task(self._run(delay), name=f"stt {candidate.name}")
        hub._runs(self.task)

    def feed(self, audio: bytes) -> None:
        if self._stream is not None and audio:
            self._stream.feed(audio)
            self._fed += len(audio)
            hub = self._hub
            hub._meter.heard(self.name, hub._format.duration(len(audio)) / 1000)

    def skip_to(self, position: int) -> None:
        """Go on listening at a position; what is between it and what was heard so far is left out."""
        if self._stream is None:
            return
        heard = self.start + self._fed
        position = max(position, heard, self._hub._ring.start)
        self.start += position - heard
        self.feed(self._hub._ring.since(position))

    def finish_turn(self) -> None:
        if self._stream is not None:
            self._stream.finish_turn()

    def give_up(self, error: ProviderError) -> None:
        """Another one was quicker: it counts as a failure."""
        self._permit.failed(error)
        self._hub._observer.failed(kind="stt", connector=self.name, failure=error.category)

    async def _run(self, delay: float) -> None:
        hub = self._hub
        try:
            if delay:
                await asyncio.sleep(delay)
            await self._permit.enter()
        except ProviderError as error:
            hub._lost(self, error)
            return
        try:
            self._stream = await self.candidate.service.open(hub._format, hub._options[self.candidate])
            hub._opened(self)
            await self._listen(self._stream)
        except ProviderError as error:
            self._permit.failed(error)
            hub._lost(self, error)
        except Exception as error:
            hub._lost(self, internal(self.name, error))
        finally:
            self._permit.abandoned()
            if self._stream is not None:
                await self._stream.aclose()

    async def _listen(self, stream: Transcription) -> None:
        results = stream.results()
        try:
            async for transcript in results:
                if transcript.text or transcript.closes:
                    self._permit.succeeded()
                self._hub._heard(self, transcript)
        finally:
            await results.aclose()
        raise ProviderError(Failure.CUT_STREAM, f"{self.name}: the results ended", provider=self.name)
