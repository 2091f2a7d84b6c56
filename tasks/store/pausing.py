"""A step that waits for a person, a caller or another run: its slot goes back, and it may wait for days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg.types.json import Jsonb

from tasks.engine.ports import AwaitCaller, AwaitRun, NewApproval, Wait
from web.ids import new_id

from . import sql, workflow_sql
from .finish import TERMINAL, event_rows, lock, view_of
from .growth import Growth, NewEvent
from .planning import plan_on
from .work import Query, Work


@dataclass(frozen=True, slots=True)
class Pause:
    """What a step waits for, and what is to be told first."""

    step_id: str
    run_id: str
    fence: int
    worker: str
    wait: Wait
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()


@dataclass(frozen=True, slots=True)
class Paused:
    """What came of it. `ready` are the steps that may now run."""

    stale: bool = False
    approval_id: str = ""
    ready: Sequence[tuple[str, str]] = ()


def pausing(pause: Pause) -> Work[Paused]:
    """Let a step wait, if it is still its worker's."""
    [runs, steps] = yield lock(pause.run_id)
    ours = next((step for step in steps if step["id"] == pause.step_id), None)
    if (
        not runs
        or runs[0]["state"] in TERMINAL
        or ours is None
        or (ours["state"], ours["fence"]) != ("running", pause.fence)
    ):
        return Paused(stale=True)
    run, wait = runs[0], pause.wait
    state, reason, detail = _kind_of(wait)
    views = [view_of(step) for step in steps]
    views = [replace(v, state=state, wait_reason=reason) if v.id == pause.step_id else v for v in views]
    plan = plan_on(run, Growth(views))
    approval_id = new_id("approval") if isinstance(wait, NewApproval) else ""
    events: list[NewEvent] = [(type_, pause.step_id, payload) for type_, payload in pause.events]
    if isinstance(wait, NewApproval):
        about = {"key": ours["key"], "kind": ours["kind"], "approval_id": approval_id}
        asked = {**about, "instructions": wait.instructions[:500], "approvers": list(wait.approvers)}
        events += [("step.waiting_human", pause.step_id, about), ("approval.requested", pause.step_id, asked)]
    if isinstance(wait, AwaitCaller):
        about = {"key": ours["key"], "kind": ours["kind"], "text": str(wait.prompt.get("text", ""))[:500]}
        events.append(("dialog.prompted", pause.step_id, about))
    if plan.run_state == "waiting" and (run["state"], run["wait_reason"]) != ("waiting", plan.wait_reason):
        events.append(("run.waiting", pause.step_id, {"reason": plan.wait_reason}))
    parameters = {
        "step": pause.step_id,
        "run": pause.run_id,
        "fence": pause.fence,
        "worker": pause.worker,
        "state": state,
        "reason": reason,
        "detail": detail,
        "input": _given(wait),
        "approval": Jsonb([_row(approval_id, wait)] if isinstance(wait, NewApproval) else []),
        "event_seq": run["event_seq"] + len(events),
        "event_rows": event_rows(events, run["event_seq"] + 1),
        "run_state": plan.run_state if plan.run_state == "waiting" else run["state"],
        "run_reason": plan.wait_reason if plan.run_state == "waiting" else run["wait_reason"],
        "stop_clock": plan.stops_clock,
        "promoted": [promotion["id"] for promotion in plan.promotions],
        "priority_seconds": run["priority"] * sql.PRIORITY_SECONDS,
    }
    ready = list(plan.ready)
    yield (Query(workflow_sql.WAIT_STEP, parameters, rows=False),)
    if isinstance(wait, AwaitRun):
        [woken] = yield (Query(workflow_sql.ENDED_MEANWHILE, {"step": pause.step_id, "child": wait.run_id}),)
        ready += [(row["kind"], row["id"]) for row in woken]
    return Paused(approval_id=approval_id, ready=ready)


def _kind_of(wait: Wait) -> tuple[str, str, str]:
    """The step's state, why it waits, and the same in words."""
    match wait:
        case NewApproval():
            return "waiting_human", "approval", "waits for a person"
        case AwaitCaller():
            return "waiting", "caller", "waits for the caller"
        case AwaitRun():
            return "waiting", "run", "waits for another run"


def _given(wait: Wait) -> Jsonb | None:
    match wait:
        case NewApproval():
            given = wait.data
        case AwaitCaller():
            given = wait.prompt
        case AwaitRun():
            given = wait.input
    return None if given is None else Jsonb(given)


def _row(id_: str, approval: NewApproval) -> Mapping[str, Any]:
    return {
        "id": id_,
        "instructions": approval.instructions,
        "data": approval.data,
        "form_schema": approval.form_schema,
        "approvers": list(approval.approvers),
        "seconds": approval.deadline_seconds,
        "on_deadline": approval.on_deadline,
        "escalate_to": list(approval.escalate_to),
    }
