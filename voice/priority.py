"""Audio before everything else on the machine: a frame that waits in line is a gap in somebody's ear."""

import os
import sys
from contextlib import suppress
from typing import Final

_PRIORITY: Final = 1  # the least of the real-time ones: nothing else of ours has any


def go_first(priority: int = _PRIORITY) -> bool:
    """Have this thread run in real time from now on (`SCHED_RR`); tell whether it may. Threads and processes
    that it starts are ordinary ones, so that only the event loop is preferred, and the kernel keeps 5 % of a core
    for the others.

    Root may, who has CAP_SYS_NICE, and who has a limit for it (`ulimit -r`); Linux, two cores and more.
    """
    if sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
            return True
    return False
