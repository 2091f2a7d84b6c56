"""The planner of tasks: a coordinator delegates to specialists, reviews, and a synthesis ends the run.

coordinate-1 ─► delegate-1-1 ┐
             ├► delegate-1-2 ├─► coordinate-2 (then: review) or synthesize ─► finish
             └► delegate-1-n ┘
"""

from collections.abc import Mapping
from typing import Any

from .planner import Fail, Finish, NewStep, Outcome, RunSteps, RunView, StepView

# A specialist that is not required may use this share of the time left; the synthesis needs the rest.
STRAGGLER_SHARE = 0.7


class DelegationPlanner:
    def first(self, run: RunView, run_input: Mapping[str, Any]) -> RunSteps:
        return RunSteps((_coordinate(1, run_input["coordinator_id"], ()),), iteration=1)

    def after(self, run: RunView, ended: StepView, output: Any) -> Outcome:
        if ended.state == "succeeded" and output is not None:
            if ended.kind == "coordinate":
                return _after_decision(run, ended, output)
            if ended.kind == "synthesize":
                return Finish({name: output.get(name) for name in ("content", "confidence", "explanation")})
            return RunSteps()
        if ended.kind == "delegate" and not ended.required:
            return RunSteps()  # its followers run all the same and are told what is missing
        return Fail(ended.error_code or "step_failed", ended.error_detail or f"{ended.key} did not succeed.")


def _after_decision(run: RunView, ended: StepView, decision: Mapping[str, Any]) -> Outcome:
    if decision.get("task_complete"):
        return Finish(decision["result"])
    prefix = f"delegate-{ended.round}-"
    share = None if run.seconds_left is None else max(1.0, run.seconds_left * STRAGGLER_SHARE)
    delegates = tuple(
        NewStep(
            key=f"{prefix}{number}",
            kind="delegate",
            label=str(subtask["description"])[:200],
            agent_id=subtask["agent_id"],
            round=ended.round,
            required=bool(subtask.get("required")),
            parents=tuple(f"{prefix}{other}" for other in subtask.get("depends_on") or ()),
            input={
                "description": subtask["description"],
                "agent_id": subtask["agent_id"],
                "output_schema": subtask.get("output_schema"),
                "needs_results": bool(subtask.get("depends_on")),
            },
            seconds=None if subtask.get("required") else share,
        )
        for number, subtask in enumerate(decision["subtasks"], 1)
    )
    keys = tuple(step.key for step in delegates)
    if decision.get("then") == "review" and ended.round < run.max_iterations:
        following = _coordinate(ended.round + 1, ended.agent_id, keys)
    else:
        following = NewStep(
            "synthesize", "synthesize", "Write the result", ended.agent_id, round=ended.round, parents=keys
        )
    return RunSteps((*delegates, following), iteration=following.round)


def _coordinate(round_: int, agent_id: str, parents: tuple[str, ...]) -> NewStep:
    label = "Plan the work" if round_ == 1 else f"Review round {round_ - 1}"
    return NewStep(f"coordinate-{round_}", "coordinate", label, agent_id, round=round_, parents=parents)
