"""Audio before everything else on the machine: a frame that waits in line is a gap in somebody's ear."""

import os
import sys
from contextlib import suppress
from typing import Final

_PRIORITY: Final = 1  # the least of the real-time ones: nothing else of ours has any
_LINUX: Final = sys.platform == "linux"


def go_first(priority: int = _PRIORITY) -> bool:
    """Have this thread, and what it starts from now on, run in real time (`SCHED_RR`); tell whether it may.

    Root may, who has CAP_SYS_NICE, and who has a limit for it (`ulimit -r`); Linux, two cores and more. The
    kernel keeps 5 % of each core for the others.
    """
    # Threads share the GIL with the event loop: an ordinary one that held it while it waited for a core would
    # hold up every call.
    return _LINUX and len(os.sched_getaffinity(0)) > 1 and _set("SCHED_RR", priority)


def step_back() -> None:
    """Be as everybody else again: for processes that work for one who goes first."""
    if _LINUX:
        _set("SCHED_OTHER", 0)


def _set(policy: str, priority: int) -> bool:
    with suppress(OSError):
        os.sched_setscheduler(0, getattr(os, policy), os.sched_param(priority))
        return True
    return False
