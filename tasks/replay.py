"""Retrying a run from one of its steps: what is carried over, what runs again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.engine.graph_planner import parse_key
from web.ids import new_ids
from web.problems import NotFound
from workflows.graph import Graph
from workflows.parsing import parse_graph

from .models import Run, Step, StepState

_ENDED = (StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED)

_ENDINGS = {StepState.SUCCEEDED: "step.completed", StepState.FAILED: "step.failed"}


@dataclass
class Replay:
    """Old steps to carry over as they ended, and old steps to run again with the same input."""

    kept: list[Step]
    again: list[Step]
    iteration: int
    events: list[tuple[str, str | None, Mapping[str, Any]]] = field(default_factory=list)
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    fresh_input: bool = False

    def rows(self) -> list[dict[str, Any]]:
        """Return the new run's steps as rows of `tasks.starting`; `events` then tells of the carried ones."""
        old_steps = (*self.kept, *self.again)
        ids = dict(zip((step.id for step in old_steps), new_ids("step", len(old_steps)), strict=True))
        redone = {step.id for step in self.again}
        return [self._row(step, ids, redone) for step in old_steps]

    def _row(self, old: Step, ids: Mapping[str, str], redone: set[str]) -> dict[str, Any]:
        again = old.id in redone
        ready = not redone.intersection(old.parents)
        if not again:
            name = _ENDINGS.get(StepState(old.state), "step.skipped")
            payload = {"key": old.key, "kind": old.kind, "agent_id": old.agent_id, "reused_from": old.id}
            if old.state == StepState.SKIPPED:
                payload["state"] = "skipped"
            self.events.append((name, ids[old.id], payload))
        return {
            "id": ids[old.id],
            "key": old.key,
            "kind": old.kind,
            "label": old.label,
            "agent_id": old.agent_id,
            "round": old.round,
            "required": old.required,
            "parents": [ids[parent] for parent in old.parents if parent in ids],
            "state": (StepState.READY if ready else StepState.PENDING) if again else old.state,
            "error_code": "" if again else old.error_code,
            "error_detail": "" if again else old.error_detail,
            "started_at": None if again else old.started_at,
            "finished_at": None if again else old.finished_at,
            "seconds": self.seconds.get(old.id),
            "taken": None if again else old.taken,
            "input": {} if again and self.fresh_input else old.body.input,
            "output": None if again else old.body.output,
            "writes": None if again else old.body.writes,
        }


def plan_graph_replay(run: Run, step_id: str | None) -> Replay:
    """Say what a retry of a workflow's run keeps: all that ended before the step, without one nothing.

    Only that step, or the first, runs again; the planner finds those behind it anew, which may be others. Raises
    `NotFound` for a step that is not of this run or never began.
    """
    steps = list(run.steps.select_related("body").order_by("id"))
    start = next((step for step in steps if step.id == (step_id or steps[0].id)), None)
    if start is None or start.state == StepState.SKIPPED:
        raise NotFound("The run has no such step that ran.")
    graph, _ = parse_graph(run.snapshot.body["graph"])
    redone = {start.id} | _behind(graph, start, steps)
    rest = [step for step in steps if step.id not in redone]
    kept = [step for step in rest if _stands(graph, step)]
    again = [start, *(step for step in rest if not _stands(graph, step))]
    seconds = {step.id: graph.by_id[parse_key(step.key)[0]].config.get("timeout_seconds") for step in again}
    return Replay(kept, again, iteration=1, seconds=seconds, fresh_input=True)


def _behind(graph: Graph, start: Step, steps: Sequence[Step]) -> set[str]:
    """The steps that came of one, and those that were skipped for what came of it."""
    node, rounds = parse_key(start.key)
    reached: set[str] = set()
    waiting = [edge.target for edge in graph.forward[node]]
    while waiting:
        if (one := waiting.pop()) not in reached:
            reached.add(one)
            waiting += [edge.target for edge in graph.forward[one]]
    redone = {start.id}
    for step in steps:  # ids are in order of creation, parents first
        theirs, their_rounds = parse_key(step.key)
        later = theirs in reached or their_rounds > rounds
        if redone.intersection(step.parents) or (
            step.state == StepState.SKIPPED and step.id > start.id and later
        ):
            redone.add(step.id)
    return redone


def _stands(graph: Graph, step: Step) -> bool:
    """Whether a step's end is one that a run can go on from; one that was cut off with its run is not."""
    match step.state:
        case StepState.SUCCEEDED | StepState.SKIPPED:
            return True
        case StepState.FAILED:
            node = graph.by_id[parse_key(step.key)[0]]
            return node.config.get("on_error", "fail") != "fail"
        case StepState.CANCELLED:
            return step.error_code == "not_needed"
    return False


def plan_replay(run: Run | None, step_id: str) -> Replay:
    """Say what a retry from a step keeps: what came before it. A coordinator's round makes its plan anew.

    Raises `NotFound` for a step that is not of this run.
    """
    steps = list(run.steps.select_related("body").order_by("id")) if run else []
    start = next((step for step in steps if step.id == step_id), None)
    if start is None:
        raise NotFound("step in the task's latest run")
    redone = {start.id}
    for step in steps:  # ids are in order of creation, parents first
        if redone.intersection(step.parents):
            redone.add(step.id)
    last_round = start.round - 1 if start.kind == "coordinate" else start.round
    kept = [
        step for step in steps if step.id not in redone and step.round <= last_round and step.state in _ENDED
    ]
    again = [step for step in steps if step.id in redone]
    return Replay(kept, again, iteration=start.round)
