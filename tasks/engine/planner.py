"""What happens next in a run, as plain data.

A planner is pure and takes milliseconds: it is called inside the transaction that finishes a step, under
the run's lock, with the states of all steps and the output of the one that just ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from workflows.graph import Graph

UNFINISHED = frozenset({"pending", "ready", "running", "waiting", "waiting_human"})


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as planners see it. `parents` are step ids, `taken` the edges of a graph that it took at its end."""

    id: str
    key: str
    kind: str
    state: str
    parents: tuple[str, ...] = ()
    round: int = 0
    required: bool = True
    agent_id: str = ""
    wait_reason: str = ""
    error_code: str = ""
    error_detail: str = ""
    taken: tuple[str, ...] = ()

    @property
    def unfinished(self) -> bool:
        return self.state in UNFINISHED


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as planners see it. `seconds_left` is None for a run without a deadline, `graph` for a task's."""

    id: str
    max_iterations: int
    steps: tuple[StepView, ...] = ()
    seconds_left: float | None = None
    graph: Graph | None = None


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step to add. `parents` are keys of steps that exist or are added with it.

    `seconds` bounds the step from now on; a step that is not required is cancelled when they are over. A
    `skipped` step is written down and never run.
    """

    key: str
    kind: str
    label: str
    agent_id: str = ""
    round: int = 0
    required: bool = True
    parents: tuple[str, ...] = ()
    input: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    state: Literal["pending", "skipped"] = "pending"


@dataclass(frozen=True, slots=True)
class RunSteps:
    """Add these steps and go on; no steps means: the others go on by themselves. `cancel` names steps, by id,
    that are not needed any more."""

    steps: tuple[NewStep, ...] = ()
    iteration: int | None = None
    cancel: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """The run has succeeded with this output; without one, with that of the step whose id is `step`."""

    output: Any
    step: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    """The run has failed; `code` is for programs, `detail` for people."""

    code: str
    detail: str


Outcome = RunSteps | Finish | Fail


class Planner(Protocol):
    def first(self, run: RunView, run_input: Mapping[str, Any]) -> RunSteps:
        """Return the steps a fresh run begins with."""
        ...

    def after(self, run: RunView, ended: StepView, output: Any) -> Outcome:
        """Say what follows the end of a step. `output` is None unless it succeeded."""
        ...


def promotable(steps: tuple[StepView, ...], limit: int) -> list[StepView]:
    """Return the pending steps that may become ready: no unfinished parent, at most `limit` active in the run."""
    unfinished = {step.id for step in steps if step.unfinished}
    active = sum(step.state in ("ready", "running") for step in steps)
    free = [step for step in steps if step.state == "pending" and not unfinished.intersection(step.parents)]
    return free[: max(0, limit - active)]
