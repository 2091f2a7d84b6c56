"""Who moves audio goes first, and nobody else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, subprocess, sys, threading
from voice.priority import go_first

asked = go_first()
found = []
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
child = subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], capture_output=True)
print(asked, os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, found[0], int(child.stdout))
"""


def test_only_the_thread_that_asked_for_it_runs_in_real_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    asked, policy, thread, child = done.stdout.split()
    assert (thread, child) == (str(os.SCHED_OTHER), str(os.SCHED_OTHER))
    assert policy == str(os.SCHED_RR if asked == "True" else os.SCHED_OTHER)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not")
def test_who_may_not_goes_on_as_before() -> None:
    program = "import os; from voice.priority import go_first; os.setuid(65534); print(go_first())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]
