"""Who moves audio goes first, and who works for it does not."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from voice.connectors.pool import SpeechPool
from voice.priority import go_first, step_back

ROOT = Path(__file__).parents[2]


@pytest.fixture
def first() -> Iterator[None]:
    if not go_first():
        pytest.skip("this user may not run anything in real time")
    try:
        yield
    finally:
        step_back()


def test_threads_share_the_priority_since_they_share_the_interpreter(first: None) -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
    thread.start()
    thread.join()
    assert found == [os.SCHED_RR]


def test_processes_for_speech_are_ordinary_ones(first: None) -> None:
    async def policy() -> int:
        pool = SpeechPool("local", 1, nothing)
        try:
            return await pool.run(os.sched_getscheduler, 0)
        finally:
            await pool.aclose()

    assert asyncio.run(policy()) == os.SCHED_OTHER


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not")
def test_who_may_not_goes_on_as_before() -> None:
    program = "import os; from voice.priority import go_first; os.setuid(65534); print(go_first())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]


def nothing() -> None: ...
