"""The network between the carrier and the service: delay with jitter, in order as a TCP stream is, and what the
carrier itself loses or swaps before."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """`delay_ms`: each way, drawn anew for each call and jittered within the range. `drop` and `swap` are the
    shares of caller frames that never come, or come after their successor. `echo_db` mixes what the caller
    hears into what the caller says, `echo_ms` later; None for none. `noise_db` is the room."""

    delay_ms: tuple[float, float] = (0.0, 0.0)
    drop: float = 0.0
    swap: float = 0.0
    echo_db: float | None = None
    echo_ms: float = 200.0
    noise_db: float | None = None


CLEAN = Line()
REAL = Line(delay_ms=(30, 80))


class Way:
    """One direction. `arrival` of messages never goes backwards."""

    def __init__(self, line: Line, chance: random.Random) -> None:
        low, high = line.delay_ms
        self.delays = high > 0
        self._low, self._high = low / 1000, high / 1000
        self._usual = chance.uniform(self._low, (self._low + self._high) / 2)
        self._chance = chance
        self._last = 0.0

    def arrival(self, sent: float) -> float:
        delay = self._usual
        if self._high > self._low:
            delay = min(self._high, self._usual + self._chance.expovariate(1 / 0.006))
        self._last = max(self._last, sent + delay)
        return self._last
