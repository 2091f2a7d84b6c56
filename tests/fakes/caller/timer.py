"""One timer for all callers of a process, which knows how late it was."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

now = time.monotonic
_LATE = 0.010


@dataclass
class Lateness:
    """How far behind its clock a simulator ran. What it measured while it was late is worth nothing."""

    events: int = 0
    late: int = 0  # by more than 10 ms
    worst_ms: float = 0.0
    sum_ms: float = 0.0
    when: list[tuple[float, float]] = field(default_factory=list)  # it was late from, to

    def note(self, moment: float, due: float) -> None:
        """Something that was due then is done at this moment."""
        seconds = max(0.0, moment - due)
        self.events += 1
        self.sum_ms += seconds * 1000
        self.worst_ms = max(self.worst_ms, seconds * 1000)
        if seconds > _LATE:
            self.late += 1
            if self.when and due <= self.when[-1][1]:
                self.when[-1] = (min(due, self.when[-1][0]), moment)
            else:
                self.when.append((due, moment))

    def between(self, start: float, end: float) -> float:
        """Seconds between these for which it was late."""
        return sum(max(0.0, min(until, end) - max(since, start)) for since, until in self.when)

    @property
    def mean_ms(self) -> float:
        return self.sum_ms / max(1, self.events)

    @property
    def share(self) -> float:
        return self.late / max(1, self.events)

    @property
    def acceptable(self) -> bool:
        """At most one event in five hundred came more than 10 ms late."""
        return self.share <= 0.002

    def __str__(self) -> str:
        return f"mean {self.mean_ms:.1f}, worst {self.worst_ms:.0f} ms, {self.share:.2%} later than 10 ms"


class Timer:
    """Calls functions at moments of `time.monotonic()`, in order.

    `grid`: seconds to which moments are rounded up. A hundred callers want something each 0.2 ms, and to wake for
    each of it costs more than to do it; no telephone line is as punctual.
    """

    def __init__(self, grid: float = 0.0) -> None:
        self.lateness = Lateness()
        self.grid = grid
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = itertools.count()
        self._handle: asyncio.TimerHandle | None = None
        self._due = float("inf")

    def at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._heap, (when, next(self._count), call, arguments))
        if when < self._due:
            self._wake(when)

    def _wake(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self.grid:
            when = -(-when // self.grid) * self.grid
        self._due = when
        self._handle = asyncio.get_running_loop().call_later(max(0.0, when - now()), self._run)

    def _run(self) -> None:
        heap, note, planned = self._heap, self.lateness.note, self._due
        self._due = float("inf")
        self._handle = None
        moment = now()
        while heap and heap[0][0] <= moment + 0.0005:
            when, _, call, arguments = heapq.heappop(heap)
            note(moment, max(when, planned))
            call(*arguments)
            moment = now()
        if heap:
            self._wake(heap[0][0])

    def close(self) -> None:
        """Forget everything."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
