"""Retrying a run from one of its steps: what is carried over, what runs again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from web.ids import new_ids
from web.problems import NotFound

from .models import Run, Step, StepState

_ENDED = (StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED)


@dataclass
class Replay:
    """Old steps to carry over as they ended, and old steps to run again with the same input."""

    kept: list[Step]
    again: list[Step]
    iteration: int
    events: list[tuple[str, str | None, Mapping[str, Any]]] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """Return the new run's steps as rows of `sql.START_RUN`; `events` then tells of the carried ones."""
        old_steps = (*self.kept, *self.again)
        ids = dict(zip((step.id for step in old_steps), new_ids("step", len(old_steps)), strict=True))
        redone = {step.id for step in self.again}
        return [self._row(step, ids, redone) for step in old_steps]

    def _row(self, old: Step, ids: Mapping[str, str], redone: set[str]) -> dict[str, Any]:
        again = old.id in redone
        ready = not redone.intersection(old.parents)
        if not again:
            name = "step.completed" if old.state == StepState.SUCCEEDED else "step.skipped"
            payload = {"key": old.key, "kind": old.kind, "agent_id": old.agent_id, "reused_from": old.id}
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
            "input": old.body.input,
            "output": None if again else old.body.output,
        }


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
