"""A run's events alone tell how it stands."""

from typing import Any

import pytest

from tasks.engine.events import UNFINISHED, fold

Line = tuple[str, str | None, dict[str, Any]]
STARTED: Line = ("run.started", None, {})
STEP: Line = ("step.started", "s1", {})


def test_it_begins_with_nothing() -> None:
    told = fold([])
    assert (told.seq, told.state, told.ended) == (0, "pending", False)


def test_it_counts_what_it_was_told() -> None:
    assert fold([STARTED, ("agent.request", "s1", {})]).seq == 2


def test_it_knows_a_wait_and_its_end() -> None:
    waiting = [STARTED, STEP, ("run.waiting", "s1", {"reason": "provider"})]
    assert (fold(waiting).state, fold(waiting).wait_reason) == ("waiting", "provider")
    resumed = fold([*waiting, ("run.resumed", None, {})])
    assert (resumed.state, resumed.wait_reason) == ("running", "")


@pytest.mark.parametrize(
    ("event", "state"),
    [
        ("step.completed", "succeeded"),
        ("step.failed", "failed"),
        ("step.skipped", "cancelled"),
        ("step.retried", UNFINISHED),
    ],
)
def test_it_knows_how_a_step_stands(event: str, state: str) -> None:
    assert fold([STARTED, STEP, (event, "s1", {})]).step("s1") == state


def test_it_knows_nothing_of_a_step_that_was_not_mentioned() -> None:
    assert fold([STARTED]).step("s2") == UNFINISHED


@pytest.mark.parametrize(
    ("event", "state"),
    [("run.completed", "succeeded"), ("run.failed", "failed"), ("run.cancelled", "cancelled")],
)
def test_it_cancels_the_unfinished_with_the_end_of_the_run(event: str, state: str) -> None:
    told = fold([STARTED, STEP, ("step.started", "s2", {}), ("step.completed", "s2", {}), (event, None, {})])
    assert (told.state, told.ended) == (state, True)
    assert [told.step(name) for name in ("s1", "s2", "s3")] == ["cancelled", "succeeded", "cancelled"]
