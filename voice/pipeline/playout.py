"""What the caller hears, and when: the queue to the transport, its lead, and the playhead in the text."""

import asyncio
from array import array
from collections.abc import Callable
from typing import Final

from voice.connectors.types import Speech

from .far_end import FarEnd, Mark
from .mulaw import SILENT_DB
from .ports import Transport
from .speech_queue import Attempt, QueuedTurn
from .spoken import FIRST_PACE, FRAME_MS, Spoken

_STEP_MS: Final = 40.0  # what is sent at a time once the lead stands
_MARK_EVERY_MS: Final = 200.0
_REMEMBERED: Final = 3  # turns whose playhead may still move: one is cut short while the next begins
_LEVELS: Final = 256  # sent frames whose level is kept: five seconds
_LATE_MS: Final = 40.0
_MARKS: Final = 256  # that may be on their way


class Playout:
    """One call's outbound audio. Everything but `run`, `clear` and `drained` returns at once.

    `clock` is monotonic, in seconds, and the event loop's. `on_underrun` is told the milliseconds the caller
    heard nothing in the middle of a clause because audio came late. `on_sent` sees the audio as it goes out,
    with the time (clock, ms) it is heard from, `on_cleared` the time from which the rest is not.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Callable[[], float],
        *,
        on_underrun: Callable[[float], None] | None = None,
        on_sent: Callable[[bytes, float], None] | None = None,
        on_cleared: Callable[[float], None] | None = None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._on_underrun = on_underrun
        self._on_sent = on_sent
        self._on_cleared = on_cleared
        self._format = transport.format
        self._frame = transport.format.size(FRAME_MS)
        self._far = FarEnd()
        self._turns: dict[int, QueuedTurn] = {}
        self._oldest = 0  # turns before this one are long over
        self._marks: dict[str, Mark] = {}
        self._serial = 0
        self._marked_at = 0.0  # position
        self._mark_wanted = False
        self._paused = False
        self._resumed = False
        self._pace = FIRST_PACE
        self._levels = array("f")  # of each frame that was sent, for the echo's estimate
        self._levels_from = 0  # frames before it
        self._sending = asyncio.Lock()
        self._waiter: asyncio.Future[None] | None = None
        self._timed = False
        self.underruns = 0
        self.late_sends = 0
        self.worst_late_ms = 0.0

    # ---- what is to be said -------------------------------------------------------------------

    def add(self, turn: int, clause: int, text: str, text_start: int, speech: Speech) -> None:
        """Queue audio of a clause. `text_start`: where the clause begins in the turn's spoken text.

        Clauses are played in the order of their numbers, turns in the order they were begun. Audio of a turn
        that was cleared is ignored. A `speech` that restarts drops what was not sent of the clause.
        """
        state = self._turn(turn)
        if state is None or state.dropped:
            return
        if speech.restarts:
            self.drop_clause(turn, clause)
        attempt = state.attempt(clause)
        if attempt is None:
            attempt = Attempt(clause, text_start, Spoken(text, self._format, self._pace))
            state.enqueue(attempt)
        attempt.pending += speech.audio
        attempt.spoken.push(speech.audio, speech.words)
        self._wake()

    def end_clause(self, turn: int, clause: int) -> None:
        """No more audio comes for this clause: its length is known now."""
        state = self._turn(turn)
        attempt = state.attempt(clause) if state is not None else None
        if attempt is None:
            return
        attempt.ended = True
        pace = attempt.spoken.end()
        if pace is not None:
            self._pace += (min(150.0, max(25.0, pace)) - self._pace) * 0.3
        if not attempt.pending and attempt.sent_from is not None:
            self._mark_wanted = True
        self._wake()

    def end_turn(self, turn: int) -> None:
        """No more clauses come for this turn."""
        state = self._turn(turn)
        if state is not None:
            state.ended = True
            self._wake()

    def drop_clause(self, turn: int, clause: int) -> None:
        """Forget what was not sent of a clause: another voice begins its text anew (`Speech.restarts`)."""
        state = self._turn(turn)
        attempt = state.attempt(clause) if state is not None else None
        if state is None or attempt is None:
            return
        state.queue.remove(attempt)
        attempt.pending.clear()

    # ---- stop and go --------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop feeding. The lead plays out; nothing is cleared."""
        self._paused = True

    def resume(self) -> None:
        """Go on at the next unsent byte."""
        if self._paused:
            self._paused = False
            self._resumed = True
            self._wake(at_once=True)

    async def clear(self) -> None:
        """Silence now: drop the queue, empty the transport. Nothing of the turns so far is sent after it.

        `heard` is final for these turns when this returns, up to what a late echo may correct.
        """
        active = [turn for turn in self._turns.values() if not turn.dropped]
        for turn in active:
            turn.drop()
        self._paused = False
        self._mark_wanted = False
        async with self._sending:  # a send in flight was before us; the next one waits behind us
            await self._transport.clear()
            now = self._now()
            self._far.clear(now)
            if self._on_cleared is not None:
                self._on_cleared(now + self._far.one_way)
            for turn in active:
                if turn.sent_to > self._far.position(now):
                    turn.cut = self._far.last
        self._wake(at_once=True)

    def mark(self, name: str) -> None:
        """The transport echoed a mark. Names that are not ours are ignored."""
        mark = self._marks.pop(name, None)
        if mark is not None:
            self._far.echo(mark, self._now())

    # ---- what has become of it ----------------------------------------------------------------

    def heard(self, turn: int) -> int:
        """How many characters of the turn's spoken text the caller has heard by now. Of the last turns only:
        raises LookupError for one that is long over."""
        state = self._turns.get(turn)
        if state is None:
            if turn < self._oldest:
                raise LookupError(f"turn {turn} is long over")
            return 0
        if state.cut is not None:
            return state.heard(state.cut.position(float("inf")))  # it still plays until the clear is there
        return state.heard(self._far.position(self._now()))

    @property
    def queued_ms(self) -> float:
        """Audio the caller has not heard yet: unsent and sent."""
        unsent = sum(len(attempt.pending) for turn in self._turns.values() for attempt in turn.queue)
        return self._format.duration(unsent) + max(0.0, self._far.end - self._now())

    @property
    def speaking(self) -> bool:
        """The caller is hearing audio, or will without anything more being sent."""
        return self._far.end > self._now()

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def round_trip_ms(self) -> float:
        """To the caller's ear and back, as marks have it."""
        return self._far.one_way * 2

    @property
    def lead_ms(self) -> float:
        """How far the far end is kept ahead at present."""
        return self._far.lead

    @property
    def sent_ms(self) -> float:
        """Audio sent since the call began."""
        return self._far.sent

    async def drained(self, turn: int) -> None:
        """Return when the turn has ended and its last sample was played, or it was dropped."""
        state = self._turn(turn)
        if state is None:
            return
        await state.over.wait()
        while not state.dropped:
            left = state.sent_to - self._far.position(self._now())
            if left <= 0.5:
                return
            try:
                async with asyncio.timeout(left / 1000):
                    await state.gone.wait()
            except TimeoutError:
                pass

    def outbound_level_db(self, at_ms: float) -> float:
        """How loud the agent was at the caller's ear at `at_ms` (the clock, in ms)."""
        position = self._far.sounding(at_ms)
        if position is None:
            return SILENT_DB
        index = int(position // FRAME_MS) - self._levels_from
        return self._levels[index] if 0 <= index < len(self._levels) else SILENT_DB

    # ---- the pacing loop ----------------------------------------------------------------------

    async def run(self) -> None:
        """Send, keeping the transport 60-200 ms ahead of the caller's ear. Until cancelled, or until the
        transport raises `TransportClosed`."""
        while True:
            wait = await self._feed()
            asked = self._now()
            if await self._sleep(wait) and wait is not None:
                late = self._now() - asked - wait
                self.worst_late_ms = max(self.worst_late_ms, late)
                self.late_sends += late > _LATE_MS

    async def _feed(self) -> float | None:
        """Send what is due. Returns the milliseconds until more is, None when there is nothing to send."""
        while True:
            if self._mark_wanted and not self._paused:
                async with self._sending:
                    if self._mark_wanted:
                        await self._mark()
            if self._paused or not self._sendable():
                return None
            if (early := self._early()) >= FRAME_MS:
                return early
            async with self._sending:
                # Waiting for the lock may have changed everything.
                if not self._paused and (early := self._early()) < FRAME_MS:
                    await self._send(_STEP_MS - early)

    def _early(self) -> float:
        """How long the far end can do without us; below 0 when it is short of its lead already."""
        now = self._now()
        return max(self._far.end, now + self._far.one_way) - now - self._far.one_way - self._far.lead

    async def _send(self, milliseconds: float) -> None:
        limit = -(-milliseconds // FRAME_MS) * self._frame
        limit = min(int(limit), int(_MARK_EVERY_MS // FRAME_MS) * self._frame)
        current = self._current()
        within = current is not None and current[1].sent_from is not None
        audio, levels, ends = self._take(limit)
        if not audio:
            return
        if self._far.empty(self._now()):
            await self._mark()  # into an empty player: it comes back after a bare round trip
        await self._transport.send_audio(audio)
        self._levels.extend(levels)
        if len(self._levels) > 2 * _LEVELS:
            del self._levels[:_LEVELS]
            self._levels_from += _LEVELS
        now = self._now()
        gap = self._far.send(self._format.duration(len(audio)), now)
        if gap and within and not self._resumed:
            self.underruns += 1
            if self._on_underrun is not None:
                self._on_underrun(gap)
        self._resumed = False
        if self._on_sent is not None:
            self._on_sent(audio, self._far.end - self._format.duration(len(audio)))
        if ends or self._far.sent - self._marked_at >= _MARK_EVERY_MS:
            await self._mark()

    def _take(self, limit: int) -> tuple[bytes, list[float], bool]:
        """Take whole frames from the queue, up to the end of a clause; the last frame of all is filled up.
        With the level of each frame, and whether a clause ends."""
        out = bytearray()
        levels: list[float] = []
        ends = False
        while len(out) < limit:
            current = self._current()
            if current is None or not current[1].pending:
                break
            turn, attempt = current
            count = limit - len(out)
            if not attempt.ended:
                whole = (len(out) + len(attempt.pending)) // self._frame * self._frame
                count = min(count, whole - len(out))
                if count <= 0:
                    break
            if attempt.sent_from is None:
                attempt.sent_from = self._far.sent + self._format.duration(len(out))
                turn.sent.append(attempt)
            begins = attempt.taken - len(out)
            out += attempt.take(count)
            for place in range(len(levels) * self._frame, len(out), self._frame):
                levels.append(attempt.spoken.level((begins + place) // self._frame))
            attempt.sent_ms = self._far.sent + self._format.duration(len(out)) - attempt.sent_from
            turn.sent_to = attempt.sent_from + attempt.sent_ms
            if attempt.ended and not attempt.pending:
                ends = True
                limit = -(-len(out) // self._frame) * self._frame  # the frame it ends in, and no more
        missing = -len(out) % self._frame
        out += self._format.silence * (missing // self._format.width)
        return bytes(out), levels, ends

    async def _mark(self) -> None:
        """Ask to be told when the caller has heard what was sent. Its name says where that is in the text."""
        self._mark_wanted = False
        self._serial += 1
        turn, clause, offset = self._place()
        name = f"{self._serial}:{turn}:{clause}:{offset}"
        self._marks[name] = self._far.mark(self._now())
        if len(self._marks) > _MARKS:
            del self._marks[next(iter(self._marks))]  # of a transport that does not echo
        self._marked_at = self._far.sent
        await self._transport.send_mark(name)

    def _place(self) -> tuple[int, int, int]:
        for number, turn in reversed(self._turns.items()):
            if turn.sent:
                return number, turn.sent[-1].clause, turn.heard(self._far.sent)
        return 0, 0, 0

    def _sendable(self) -> bool:
        current = self._current()
        if current is None:
            return False
        attempt = current[1]
        return len(attempt.pending) >= (1 if attempt.ended else self._frame)

    def _current(self) -> tuple[QueuedTurn, Attempt] | None:
        """The clause that is to be sent next, whether or not its audio is there."""
        for turn in self._turns.values():
            attempt = turn.current()
            if attempt is not None:
                return turn, attempt
            if not turn.over.is_set():
                return None  # more of this turn will come
        return None

    # ---- helpers ------------------------------------------------------------------------------

    def _turn(self, number: int) -> QueuedTurn | None:
        """The turn, begun if it is new; None when it is long over."""
        state = self._turns.get(number)
        if state is None and number >= self._oldest:
            state = self._turns[number] = QueuedTurn()
            if len(self._turns) > _REMEMBERED:
                oldest = next(iter(self._turns))
                if self._turns[oldest].over.is_set():
                    self._oldest = oldest + 1
                    del self._turns[oldest]
        return state

    def _now(self) -> float:
        return self._clock() * 1000

    def _wake(self, *, at_once: bool = False) -> None:
        """There may be something to send. A loop that sleeps until its lead is due looks by itself."""
        if self._waiter is not None and not self._waiter.done() and (at_once or not self._timed):
            self._waiter.set_result(None)

    async def _sleep(self, milliseconds: float | None) -> bool:
        """Wait, or until woken. Returns whether the whole time passed."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        self._timed = milliseconds is not None
        rang = False

        def ring() -> None:
            nonlocal rang
            if not waiter.done():
                rang = True
                waiter.set_result(None)

        timer = loop.call_later(milliseconds / 1000, ring) if milliseconds is not None else None
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return rang
