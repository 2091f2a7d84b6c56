"""A run's steps while a transaction adds to them: what the planner says, and what comes of it at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.engine.executors.control import CONTROL
from tasks.engine.planner import NewStep, RunSteps, StepView
from tasks.engine.ports import EndedStep
from web.ids import new_ids

from .passing import Passed

MOST_PASSED = (
    100  # nodes that do nothing themselves, in one transaction; the next of them becomes a step to claim
)

NewEvent = tuple[str, str | None, Mapping[str, Any]]


class Growth:
    """The steps of a run as they are, and those that are being added to them."""

    def __init__(self, steps: Sequence[StepView]) -> None:
        self.views = {step.id: step for step in steps}
        self.told: list[NewEvent] = []
        self.iteration: int | None = None
        self.unneeded: list[str] = []
        self.added: dict[str, NewStep] = {}
        self.passed: dict[str, Passed] = {}
        self._ids = {step.key: step.id for step in steps}

    def take(self, outcome: RunSteps) -> list[EndedStep]:
        """Add what a planner says; returns the steps that are over by it."""
        over = []
        self.iteration = outcome.iteration if outcome.iteration is not None else self.iteration
        for step, id_ in zip(outcome.steps, new_ids("step", len(outcome.steps)), strict=True):
            self._ids[step.key] = id_
            self.added[id_] = step
        for step in outcome.steps:
            id_, parents = self._ids[step.key], tuple(self._ids[key] for key in step.parents)
            self.views[id_] = StepView(id_, step.key, step.kind, step.state, parents, agent_id=step.agent_id)
            if step.state == "skipped":
                about = {"key": step.key, "kind": step.kind, "agent_id": step.agent_id}
                self.told.append(("step.skipped", id_, {**about, "state": "skipped"}))
                over.append(EndedStep(id_, step.key, "skipped"))
        for id_ in outcome.cancel:
            view = self.views[id_]
            if id_ not in self.added:
                self.unneeded.append(id_)
            self.views[id_] = replace(view, state="cancelled", error_code="not_needed")
            error = {"code": "not_needed", "detail": "The run went on without it."}
            was = {"key": view.key, "kind": view.kind, "agent_id": view.agent_id}
            self.told.append(("step.skipped", id_, {**was, "error": error}))
            over.append(EndedStep(id_, view.key, "cancelled", error_code="not_needed"))
        return over

    def to_pass(self) -> StepView | None:
        """The next new step that does nothing itself and may go on now."""
        if len(self.passed) >= MOST_PASSED:
            return None
        for id_ in self.added:
            view = self.views[id_]
            if view.state == "pending" and view.kind in CONTROL and not self._waits(view):
                return view
        return None

    def _waits(self, view: StepView) -> bool:
        return any(self.views[parent].unfinished for parent in view.parents)

    def settle(self, view: StepView, passed: Passed) -> StepView:
        """Let a new step have ended; returns it as it is then."""
        step, state = self.added[view.id], "failed" if passed.error_code else "succeeded"
        ended = replace(
            view,
            state=state,
            taken=passed.taken,
            error_code=passed.error_code,
            error_detail=passed.error_detail,
        )
        self.views[view.id] = ended
        self.passed[view.id] = passed
        about = {"key": step.key, "kind": step.kind, "agent_id": step.agent_id}
        self.told.append(("step.started", view.id, {**about, "label": step.label, "round": step.round}))
        if passed.error_code:
            error = {"code": passed.error_code, "detail": passed.error_detail[:500]}
            self.told.append(("step.failed", view.id, {**about, "error": error}))
        else:
            self.told.append(("step.completed", view.id, {**about, "taken": list(passed.taken)}))
        return ended
