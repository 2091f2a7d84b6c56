"""Public ids sort by the order in which they were made, whatever the clock does."""

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from web.ids import new_id, new_ids


def test_ids_of_one_process_sort_by_the_order_in_which_they_were_made() -> None:
    made = [new_id("step") for _ in range(5000)]
    assert made == sorted(made)
    assert all(len(each) == len("step_") + 26 for each in made)
    assert (several := new_ids("step", 50)) == sorted(several)
    assert several[0] > made[-1]


def test_a_clock_that_is_set_back_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id("run")
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    assert new_id("run") > before


def test_threads_and_forked_processes_never_make_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    with ThreadPoolExecutor(4) as threads:
        made = [each for some in threads.map(lambda _: new_ids("task", 2000), range(4)) for each in some]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def make() -> None:
        answers.put(new_ids("task", 200))

    children = [context.Process(target=make) for _ in range(3)]
    for child in children:
        child.start()
    for _ in children:
        made += answers.get()
    for child in children:
        child.join()
    assert len(set(made)) == 4 * 2000 + 3 * 200
