"""What follows from a change of a run's steps, as the rows and events that are to be written."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.engine.planner import (
    Fail,
    Finish,
    Outcome,
    Planner,
    RunSteps,
    RunView,
    StepView,
    promotable,
)
from workflows.graph import Graph

from .growth import Growth, NewEvent
from .passing import Passing
from .work import Work

# While the run waits for these its clock stands; everything else is waited for on the run's time.
CLOCK_STOPPING = ("budget", "approval")
MOST_PASSED = (
    100  # nodes that do nothing themselves, in one transaction; the next of them becomes a step to claim
)
_WAITING = ("waiting", "waiting_human")


@dataclass(slots=True)
class Plan:
    """The writes that follow. `claimed` are the steps that are claimed at once, `told` what happened on the way."""

    run_state: str
    wait_reason: str = ""
    output: Any = None
    output_of: str = ""
    error: Fail | None = None
    iterations: int | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    promotions: list[dict[str, Any]] = field(default_factory=list)
    unneeded: list[str] = field(default_factory=list)
    claimed: list[StepView] = field(default_factory=list)
    ready: list[tuple[str, str]] = field(default_factory=list)
    told: list[NewEvent] = field(default_factory=list)

    @property
    def stops_clock(self) -> bool:
        return self.wait_reason in CLOCK_STOPPING


def plan_after(
    planner: Planner,
    run: Mapping[str, Any],
    run_id: str,
    steps: Sequence[StepView],
    ended: StepView,
    output: Any,
    *,
    passing: Passing | None,
    graph: Graph | None,
    owner: str,
    slots: int,
) -> Work[Plan]:
    """Ask the planner what the end of a step means, and what that of the nodes that do nothing themselves.

    `slots` steps are claimed for `owner` at once.
    """
    growth = Growth(steps)
    outcome = yield from grow(planner, run, run_id, growth, ended, output, passing=passing, graph=graph)
    match outcome:
        case Finish(output, step) if step in growth.passed:
            return _over("succeeded", growth, output=growth.passed[step].output)
        case Finish(output, step):
            return _over("succeeded", growth, output=output, output_of=step)
        case Fail() as error:
            return _over("failed", growth, error=error)
        case RunSteps():
            return plan_on(run, growth, owner=owner, slots=slots)


def begin(
    planner: Planner, run: Mapping[str, Any], run_id: str, first: RunSteps, passing: Passing, graph: Graph
) -> Plan | None:
    """Go from a fresh run's first steps as far as it leads at once; None where that is to its end."""
    growth = Growth(())
    growth.take(first)
    start = growth.to_pass()
    if start is None:
        return plan_on(run, growth)
    at_once: Generator[Any, Any, Outcome] = _from_start(planner, run, run_id, growth, start, passing, graph)
    try:
        next(at_once)
    except StopIteration as reached:
        return plan_on(run, growth) if isinstance(reached.value, RunSteps) else None
    raise AssertionError("nothing is to be read of a fresh run")


def _from_start(
    planner: Planner,
    run: Mapping[str, Any],
    run_id: str,
    growth: Growth,
    start: StepView,
    passing: Passing,
    graph: Graph,
) -> Work[Outcome]:
    passed = yield from passing.through(start)
    ended = growth.settle(start, passed)
    return (yield from grow(planner, run, run_id, growth, ended, passed.output, passing=passing, graph=graph))


def grow(
    planner: Planner,
    run: Mapping[str, Any],
    run_id: str,
    growth: Growth,
    ended: StepView,
    output: Any,
    *,
    passing: Passing | None,
    graph: Graph | None,
) -> Work[Outcome]:
    """Follow the end of a step as far as it leads without anybody doing anything."""
    while True:
        view = RunView(
            run_id, run["max_iterations"], tuple(growth.views.values()), run["seconds_left"], graph
        )
        outcome = planner.after(view, ended, output)
        if not isinstance(outcome, RunSteps):
            return outcome
        over = growth.take(outcome)
        if passing is None:
            return outcome
        passing.here += over
        following = growth.to_pass()
        if following is None:
            return outcome
        passed = yield from passing.through(following)
        ended, output = growth.settle(following, passed), passed.output


def plan_on(run: Mapping[str, Any], growth: Growth, *, owner: str = "", slots: int = 0) -> Plan:
    """Let a run go on with its steps and those that were added."""
    steps = tuple(growth.views.values())
    going_on = promotable(steps, run["max_parallel_steps"])
    claimed = {step.id for step in going_on[:slots]}
    plan = Plan("running", iterations=growth.iteration, unneeded=growth.unneeded, told=growth.told)
    plan.claimed = going_on[:slots]
    plan.ready = [(step.kind, step.id) for step in going_on[slots:]]
    states = {step.id: "running" if step.id in claimed else "ready" for step in going_on}
    plan.promotions = [
        {
            "id": id_,
            "state": state,
            "owner": owner if id_ in claimed else "",
            "claim": int(id_ in claimed),
        }
        for id_, state in states.items()
        if id_ not in growth.added
    ]
    plan.rows = list(_rows(growth, states, owner))
    if not going_on and not any(step.state in ("ready", "running") for step in steps):
        reasons = [step.wait_reason for step in steps if step.state in _WAITING]
        if not reasons:
            return _over("failed", growth, error=Fail("stalled", "The plan has no next step."))
        plan.run_state = "waiting"
        plan.wait_reason = reason_of(reasons)
    return plan


def _over(
    state: str, growth: Growth, *, output: Any = None, output_of: str = "", error: Fail | None = None
) -> Plan:
    """The end of a run; what was added and has not ended is cancelled with the rest."""
    cancelled = {id_: "cancelled" for id_ in growth.added if growth.views[id_].unfinished}
    return Plan(
        state,
        output=output,
        output_of=output_of,
        error=error,
        rows=list(_rows(growth, cancelled, "")),
        unneeded=growth.unneeded,
        told=growth.told,
    )


def _rows(growth: Growth, states: Mapping[str, str], owner: str) -> Iterator[dict[str, Any]]:
    for id_, step in growth.added.items():
        view, passed = growth.views[id_], growth.passed.get(id_)
        state = states.get(id_, view.state)
        yield {
            "id": id_,
            "key": step.key,
            "kind": step.kind,
            "label": step.label,
            "agent_id": step.agent_id,
            "round": step.round,
            "required": step.required,
            "parents": list(view.parents),
            "state": state,
            "owner": owner if state == "running" else "",
            "fence": int(state == "running" or passed is not None),
            "seconds": None if passed else step.seconds,
            "input": step.input,
            "output": passed.output if passed else None,
            "writes": passed.writes if passed else None,
            "taken": list(passed.taken) if passed and state == "succeeded" else None,
            "error_code": view.error_code[:40],
            "error_detail": view.error_detail[:1000],
        }


def reason_of(reasons: Sequence[str]) -> str:
    """Why a run waits whose steps wait for these; any that does not stop the clock keeps it going."""
    return min(reasons, key=CLOCK_STOPPING.__contains__)
