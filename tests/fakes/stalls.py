"""How long this machine stood still: what was late meanwhile is nobody's fault.

One process a core, before all others (SCHED_FIFO), does nothing but sleep and see how late it wakes. It is late
where a host has taken the core away, and where the kernel gives ordinary processes the 50 ms a second that it
keeps for them on a core that real-time ones fill (`sched_rt_runtime_us`, since Linux 6.12 the fair server).
Run by itself, `python -m tests.fakes.stalls CORE`, it prints each time in ms.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SLEEP = 0.010
_LEAST = 0.010  # a shorter time is none
_PRIORITY = 50


@dataclass
class Stalls:
    """`found`: each time in ms, when the watch is over. `watched` is False where the user may not."""

    watched: bool = True
    found: list[float] = field(default_factory=list)

    @property
    def worst_ms(self) -> float:
        return max(self.found, default=0.0)

    def __str__(self) -> str:
        if not self.watched:
            return "not known (no real-time priority)"
        return f"{len(self.found)} times for more than 10 ms, at worst {self.worst_ms:.0f} ms"


@contextmanager
def stalls() -> Iterator[Stalls]:
    """Watch every core that this process may use."""
    seen = Stalls()
    watchers = [
        subprocess.Popen([sys.executable, "-m", "tests.fakes.stalls", str(core)], stdout=subprocess.PIPE)
        for core in sorted(os.sched_getaffinity(0))
    ]
    try:
        yield seen
    finally:
        for watcher in watchers:
            watcher.terminate()
            told, _ = watcher.communicate(timeout=10)
            seen.watched = seen.watched and b"watching" in told
            seen.found += [float(line) for line in told.split() if line != b"watching"]


def main(core: int) -> None:
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except PermissionError:
        return
    print("watching", flush=True)
    while True:
        before = time.monotonic()
        time.sleep(_SLEEP)
        late = time.monotonic() - before - _SLEEP
        if late > _LEAST:
            print(f"{late * 1000:.1f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
