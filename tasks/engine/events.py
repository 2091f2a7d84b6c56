"""A run as its events tell it. Pure: the log alone must be enough to know how a run and its steps stand.

Claims and waits of single steps are no events, so of a step that has not ended the log only says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

UNFINISHED = "unfinished"
ENDS = {"run.completed": "succeeded", "run.failed": "failed", "run.cancelled": "cancelled"}
_STEP_ENDS = {"step.completed": "succeeded", "step.failed": "failed", "step.skipped": "cancelled"}


@dataclass(slots=True)
class Told:
    """What the events so far tell. `steps` holds those that were mentioned, by id."""

    seq: int = 0
    state: str = "pending"
    wait_reason: str = ""
    steps: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.state in ENDS.values()

    def step(self, step_id: str) -> str:
        """Return how a step stands; the end of a run cancels what had not ended."""
        unknown = "cancelled" if self.ended else UNFINISHED
        return self.steps.get(step_id, unknown)


def fold(events: Iterable[tuple[str, str | None, Mapping[str, Any]]]) -> Told:
    """Fold a run's events, (type, step id, payload) in order, into how things stand after the last."""
    told = Told()
    for type_, step_id, payload in events:
        told.seq += 1
        if type_ in ("run.started", "run.resumed"):
            told.state, told.wait_reason = "running", ""
        elif type_ == "run.waiting":
            told.state, told.wait_reason = "waiting", str(payload.get("reason", ""))
        elif type_ in ENDS:
            told.state, told.wait_reason = ENDS[type_], ""
            for unfinished in [id_ for id_, state in told.steps.items() if state == UNFINISHED]:
                told.steps[unfinished] = "cancelled"
        elif step_id is not None and type_ in _STEP_ENDS:
            told.steps[step_id] = payload.get("state") or _STEP_ENDS[type_]
        elif step_id is not None and type_ in ("step.started", "step.retried", "step.waiting_human"):
            told.steps[step_id] = UNFINISHED
    return told
