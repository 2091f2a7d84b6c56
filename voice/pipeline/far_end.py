"""A model of the far end's player: what the caller has heard, from what was sent and which marks came back.

Positions are milliseconds of audio sent since the call began; times are milliseconds of the call's clock.
The far end plays what it has without a break, so that a stretch of audio sent in time (`_Run`) has one number:
its origin, the time at which position 0 would have been played. Sending gives a first guess, echoes correct it.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

LEAST_LEAD_MS: Final = 60.0
MOST_LEAD_MS: Final = 200.0
_FIRST_ONE_WAY_MS: Final = 50.0  # before anything was measured
_FIRST_JITTER_MS: Final = 30.0
_REMEMBERED: Final = 16  # runs


@dataclass(slots=True, eq=False)
class Run:
    """Audio that the far end plays without a break."""

    start: float  # position
    length: float
    origin: float
    claim: float | None = None  # the origin as the last echo had it
    cut_at: float | None = None  # when the far end dropped the rest

    def position(self, at: float) -> float:
        if self.cut_at is not None:
            at = min(at, self.cut_at)
        return self.start + min(self.length, max(0.0, at - self.origin - self.start))

    @property
    def end(self) -> float:
        """When its last sample is over."""
        end = self.origin + self.start + self.length
        return end if self.cut_at is None else min(end, self.cut_at)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A mark on its way: asked for at `sent_at`, due when `position` has been played."""

    position: float
    sent_at: float
    run: Run | None  # None: sent into an empty player, so it comes back after a round trip


class FarEnd:
    """One call's."""

    def __init__(self) -> None:
        self.sent = 0.0
        self.one_way = _FIRST_ONE_WAY_MS
        self.jitter = _FIRST_JITTER_MS
        self._runs: deque[Run] = deque(maxlen=_REMEMBERED)
        self._trips: deque[float] = deque(maxlen=9)

    @property
    def lead(self) -> float:
        """How far the far end is kept ahead of the caller's ear."""
        return min(MOST_LEAD_MS, max(LEAST_LEAD_MS, 20 + 2.5 * self.jitter))

    @property
    def end(self) -> float:
        """When everything sent so far has been played."""
        return self._runs[-1].end if self._runs else float("-inf")

    @property
    def last(self) -> Run | None:
        return self._runs[-1] if self._runs else None

    def empty(self, now: float) -> bool:
        """Whether the far end will have nothing left when what is sent now arrives."""
        return self.end < now + self.one_way

    def send(self, milliseconds: float, now: float) -> float:
        """So much goes out. Returns how long the caller will have heard nothing before it."""
        gap = 0.0
        run = self.last
        if run is None or run.cut_at is not None or self.empty(now):
            starts = now + self.one_way
            if run is not None:
                gap = max(0.0, starts - run.end)
                starts = max(starts, run.end)
            run = Run(self.sent, 0.0, starts - self.sent)
            self._runs.append(run)
        run.length += milliseconds
        self.sent += milliseconds
        return gap

    def mark(self, now: float) -> Mark:
        """A mark goes out behind what was sent."""
        return Mark(self.sent, now, None if self.empty(now) else self.last)

    def echo(self, mark: Mark, now: float) -> None:
        """It came back: the audio before it was played half a round trip ago, unless it was cleared."""
        run = mark.run
        if run is None:
            self._trips.append(now - mark.sent_at)
            self.one_way = median(self._trips) / 2
            run = next((run for run in self._runs if run.start == mark.position), None)
        if run is None or (run.cut_at is not None and not self._played_before_cut(run, mark, now)):
            return
        claim = now - self.one_way - mark.position
        if run.claim is not None:
            change = abs(claim - run.claim)
            self.jitter += (change - self.jitter) / (2 if change > self.jitter else 16)
        # An echo can be late, never early: a single late one is the network's, two in a row are the player's.
        believed = claim if run.claim is None else min(claim, run.claim)
        run.claim = claim
        self._shift(run, believed)

    def clear(self, now: float) -> None:
        """The far end is told to drop what it has not played."""
        run = self.last
        if run is not None and run.cut_at is None and run.end > now:
            run.cut_at = now + self.one_way

    def position(self, at: float) -> float:
        """What was played last at a time."""
        for run in reversed(self._runs):
            if at >= run.origin + run.start:
                return run.position(at)
        return self._runs[0].start if self._runs else 0.0

    def sounding(self, at: float) -> float | None:
        """The position that was heard at a time, None for silence."""
        for run in reversed(self._runs):
            if at >= run.origin + run.start:
                return run.position(at) if at < run.end else None
        return None

    def _played_before_cut(self, run: Run, mark: Mark, now: float) -> bool:
        assert run.cut_at is not None
        # A cleared player returns its marks at once, a round trip after the clear.
        return run.origin + mark.position <= run.cut_at and now < run.cut_at + self.one_way

    def _shift(self, run: Run, origin: float) -> None:
        run.origin = origin
        later = False
        for other in self._runs:
            if later and run.cut_at is None:
                other.origin = max(other.origin, origin)  # it cannot begin before its predecessor is over
            later = later or other is run
