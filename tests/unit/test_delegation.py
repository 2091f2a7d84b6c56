"""The planner of tasks: who works next, from nothing but the states of the steps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tasks.engine.delegation import STRAGGLER_SHARE, DelegationPlanner
from tasks.engine.planner import Fail, Finish, RunSteps, RunView, StepView, promotable

PLANNER = DelegationPlanner()
COORDINATE = StepView("s1", "coordinate-1", "coordinate", "succeeded", round=1, agent_id="boss")
DELEGATE = StepView("s2", "delegate-1-1", "delegate", "succeeded", round=1, required=False)


def run(*, max_iterations: int = 3, seconds_left: float | None = None) -> RunView:
    return RunView("run", max_iterations, (COORDINATE,), seconds_left)


def delegate(then: str = "synthesize", **fields: Any) -> Mapping[str, Any]:
    first = {"agent_id": "a", "description": "One", **fields}
    second = {"agent_id": "b", "description": "Two", "depends_on": [1], "output_schema": {"type": "string"}}
    return {"task_complete": False, "subtasks": [first, second], "then": then}


def steps(outcome: object) -> RunSteps:
    assert isinstance(outcome, RunSteps)
    return outcome


def test_it_begins_with_the_coordinator() -> None:
    [first] = PLANNER.first(run(), {"coordinator_id": "boss"}).steps
    assert (first.key, first.kind, first.agent_id, first.round) == ("coordinate-1", "coordinate", "boss", 1)


def test_it_ends_the_run_with_the_coordinators_result() -> None:
    result = {"content": "Done", "confidence": 1, "explanation": "It was there."}
    assert PLANNER.after(run(), COORDINATE, {"task_complete": True, "result": result}) == Finish(result)


def test_it_delegates_and_lets_the_synthesis_wait_for_all() -> None:
    plan = steps(PLANNER.after(run(), COORDINATE, delegate()))
    one, two, synthesis = plan.steps
    assert [one.key, two.key, synthesis.key] == ["delegate-1-1", "delegate-1-2", "synthesize"]
    assert (one.parents, two.parents) == ((), ("delegate-1-1",))
    assert synthesis.parents == ("delegate-1-1", "delegate-1-2")
    assert synthesis.agent_id == "boss"
    assert two.input["needs_results"]
    assert two.input["output_schema"] == {"type": "string"}


def test_it_shows_results_to_the_coordinator_when_asked_to_review() -> None:
    plan = steps(PLANNER.after(run(), COORDINATE, delegate("review")))
    assert plan.steps[-1].key == "coordinate-2"
    assert plan.iteration == 2


def test_it_synthesizes_in_the_last_round_whatever_the_coordinator_wants() -> None:
    plan = steps(PLANNER.after(run(max_iterations=1), COORDINATE, delegate("review")))
    assert plan.steps[-1].kind == "synthesize"


def test_it_numbers_the_steps_of_later_rounds_by_their_round() -> None:
    second = replace(COORDINATE, id="s9", key="coordinate-2", round=2)
    keys = [step.key for step in steps(PLANNER.after(run(), second, delegate("review"))).steps]
    assert keys == ["delegate-2-1", "delegate-2-2", "coordinate-3"]


def test_it_bounds_only_specialists_that_can_be_done_without() -> None:
    limited = run(seconds_left=100)
    one, two, synthesis = steps(PLANNER.after(limited, COORDINATE, delegate(required=True))).steps
    assert (one.seconds, one.required) == (None, True)
    assert two.seconds == 100 * STRAGGLER_SHARE
    assert synthesis.seconds is None
    assert steps(PLANNER.after(run(), COORDINATE, delegate())).steps[1].seconds is None


def test_it_finishes_with_the_synthesis_alone() -> None:
    ended = replace(COORDINATE, kind="synthesize", key="synthesize")
    output = {"content": "All", "confidence": 0.5, "explanation": "Why", "truncated": True}
    assert PLANNER.after(run(), ended, output) == Finish(
        {"content": "All", "confidence": 0.5, "explanation": "Why"}
    )


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_it_goes_on_without_a_specialist_that_is_not_required(state: str) -> None:
    assert PLANNER.after(run(), replace(DELEGATE, state=state), None) == RunSteps()


@pytest.mark.parametrize("ended", [replace(DELEGATE, required=True), COORDINATE])
def test_it_fails_without_a_step_that_it_needs(ended: StepView) -> None:
    lost = replace(ended, state="failed", error_code="poison", error_detail="It was poison.")
    assert PLANNER.after(run(), lost, None) == Fail("poison", "It was poison.")


class TestPromotable:
    """Which pending steps may become ready."""

    DONE = StepView("a", "a", "delegate", "succeeded")
    BUSY = StepView("b", "b", "delegate", "running")
    FREE = StepView("c", "c", "delegate", "pending")
    CHILD = StepView("d", "d", "synthesize", "pending", parents=("a", "b"))

    def test_it_frees_a_step_whose_parents_have_ended(self) -> None:
        ended = replace(self.BUSY, state="failed")
        assert promotable((self.DONE, ended, self.CHILD), 5) == [self.CHILD]

    @pytest.mark.parametrize("state", ["pending", "ready", "running", "waiting", "waiting_human"])
    def test_it_holds_a_step_while_a_parent_is_unfinished(self, state: str) -> None:
        parent = replace(self.BUSY, state=state)
        assert self.CHILD not in promotable((self.DONE, parent, self.CHILD), 5)

    def test_it_keeps_to_the_runs_parallelism(self) -> None:
        many = tuple(replace(self.FREE, id=str(number)) for number in range(5))
        assert promotable((self.BUSY, *many), 3) == [*many[:2]]
        assert promotable((self.BUSY, *many), 1) == []

    def test_it_does_not_count_a_step_that_waits(self) -> None:
        waiting = replace(self.BUSY, state="waiting")
        assert promotable((waiting, self.FREE), 1) == [self.FREE]
