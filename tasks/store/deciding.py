"""Decisions of people, and the deadlines of those who owe them, each with what follows in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.types.json import Jsonb

from . import sql, workflow_sql
from .finish import TERMINAL, Finished, StepEnd, ending, event_rows, lock
from .growth import NewEvent
from .outside import OutsideEnd, ended_from_outside
from .snapshots import Snapshots
from .work import Query, Rows, Work

APPROVAL_KIND = "human_approval"


class NoSuchApproval(Exception):
    """There is no approval of this id."""


class AlreadyDecided(Exception):
    """The approval is decided, or its run has ended. `by` and `state` say how."""

    def __init__(self, state: str, by: str) -> None:
        super().__init__(f"{state} by {by}" if by else state)
        self.state = state
        self.by = by


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, by whom. `output` is what an edit puts in the place of what was shown."""

    decision: Literal["approve", "reject", "edit"]
    by: str
    output: Any = None
    comment: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """A locked run and the step that waits in it."""

    approval: Mapping[str, Any]
    run: Mapping[str, Any]
    steps: Rows
    step: Mapping[str, Any]


def deciding(approval_id: str, verdict: Verdict, snapshots: Snapshots) -> Work[Finished]:
    """Decide. Raises `NoSuchApproval`, `AlreadyDecided`."""
    place = yield from _locked(approval_id)
    return (yield from _decide(place, verdict, snapshots))


def expiring(approval_id: str, snapshots: Snapshots) -> Work[Finished | None]:
    """Do what an approval says of its deadline; None when it is not due."""
    place = yield from _locked(approval_id)
    approval = place.approval
    if not approval["due"]:
        return None
    action = approval["on_deadline"]
    if action in ("approve", "reject"):
        return (yield from _decide(place, Verdict(action, "deadline", expired=True), snapshots))
    escalated = list(approval["escalate_to"]) if action == "escalate" else list(approval["approvers"])
    payload = {"approval_id": approval_id, "action": action or "none", "approvers": escalated}
    yield from _reassign(place, escalated, ("approval.expired", place.step["id"], payload), escalated=True)
    return Finished(run_state=place.run["state"])


def reassigning(approval_id: str, approvers: Sequence[str], by: str) -> Work[None]:
    """Name others who may decide. Raises as `deciding` does."""
    place = yield from _locked(approval_id)
    payload = {"approval_id": approval_id, "approvers": list(approvers), "by": by}
    yield from _reassign(
        place, approvers, ("approval.reassigned", place.step["id"], payload), escalated=False
    )


def _locked(approval_id: str) -> Work[_Place]:
    [found] = yield (Query(workflow_sql.APPROVAL, {"approval": approval_id}),)
    if not found:
        raise NoSuchApproval(approval_id)
    [runs, steps] = yield lock(found[0]["run_id"])
    [[approval]] = yield (Query(workflow_sql.APPROVAL, {"approval": approval_id}),)  # as it is under the lock
    step = next((step for step in steps if step["id"] == approval["step_id"]), None)
    if (
        approval["state"] != "pending"
        or not runs
        or runs[0]["state"] in TERMINAL
        or step is None
        or step["state"] != "waiting_human"
    ):
        raise AlreadyDecided(approval["state"], approval["decided_by"])
    return _Place(approval, runs[0], steps, step)


def _decide(place: _Place, verdict: Verdict, snapshots: Snapshots) -> Work[Finished]:
    approval, step = place.approval, place.step
    state = "expired" if verdict.expired else "rejected" if verdict.decision == "reject" else "approved"
    yield (
        Query(
            workflow_sql.DECIDE_APPROVAL,
            {
                "approval": approval["id"],
                "state": state,
                "by": verdict.by[:200],
                "comment": verdict.comment[:2000],
                "output": Jsonb(verdict.output) if verdict.decision == "edit" else None,
                "edited": verdict.decision == "edit",
            },
            rows=False,
        ),
    )
    payload = {
        "approval_id": approval["id"],
        "decision": verdict.decision,
        "decided_by": verdict.by,
        "comment": verdict.comment[:500],
        "key": step["key"],
    }
    told: NewEvent = (
        ("approval.expired", step["id"], {**payload, "action": verdict.decision})
        if verdict.expired
        else ("approval.decided", step["id"], payload)
    )
    if step["kind"] == APPROVAL_KIND:
        end = yield from _end_of(place, verdict, snapshots)
        return (yield from ending(end, place.run, place.steps, snapshots, told=[told]))
    return (yield from _resolve_tools(place, verdict, told))


def _end_of(place: _Place, verdict: Verdict, snapshots: Snapshots) -> Work[StepEnd]:
    """How the decision ends its step."""
    approval = place.approval
    output = {
        "decision": {"approve": "approved", "edit": "edited", "reject": "rejected"}[verdict.decision],
        "data": verdict.output if verdict.decision == "edit" else approval["data"],
        "comment": verdict.comment,
        "decided_by": verdict.by,
    }
    end = OutsideEnd(
        by="a person",
        from_state="waiting_human",
        output=output,
        rejected=verdict.decision == "reject",
        why_rejected=f"{verdict.by} rejected it" + (f": {verdict.comment}" if verdict.comment else "."),
    )
    run_id, run_input = approval["run_id"], approval["run_input"]
    return (yield from ended_from_outside(place.run, run_id, run_input, place.step, end, snapshots))


def _resolve_tools(place: _Place, verdict: Verdict, told: NewEvent) -> Work[Finished]:
    """Say what became of calls whose outcome nobody knew, and let the step go on."""
    run, step, approval = place.run, place.step, place.approval
    state, output, code = {
        "edit": ("succeeded", Jsonb(verdict.output), ""),
        "approve": ("failed", None, "try_again"),
        "reject": ("failed", None, "outcome_unknown"),
    }[verdict.decision]
    detail = f"Decided by {verdict.by}. {verdict.comment}".strip()
    calls = [call["id"] for call in (approval["data"] or {}).get("tool_calls", ())]
    events = [told]
    if run["state"] == "waiting":
        events.append(("run.resumed", None, {}))
    parameters = {
        "step": step["id"],
        "run": approval["run_id"],
        "event_seq": run["event_seq"] + len(events),
        "event_rows": event_rows(events, run["event_seq"] + 1),
    }
    resolution = {
        "step": step["id"],
        "calls": calls,
        "state": state,
        "output": output,
        "code": code,
        "detail": detail[:1000],
    }
    writes = [
        Query(workflow_sql.RESOLVE_TOOL_CALLS, resolution, rows=False),
        Query(workflow_sql.RESUME_STEP, parameters, rows=False),
    ]
    if run["clock_stopped"]:
        writes.insert(0, Query(sql.SHIFT_DEADLINES, {"run": approval["run_id"]}, rows=False))
    yield writes
    return Finished(
        run_state="running",
        planner=run["planner"],
        ready=[(step["kind"], step["id"])],
        events=len(events),
    )


def _reassign(place: _Place, approvers: Sequence[str], told: NewEvent, *, escalated: bool) -> Work[None]:
    run_id, seq = place.approval["run_id"], place.run["event_seq"]
    parameters = {"approval": place.approval["id"], "approvers": list(approvers), "escalated": escalated}
    yield (
        Query(workflow_sql.REASSIGN_APPROVAL, parameters, rows=False),
        Query(
            workflow_sql.APPEND_EVENTS,
            {"run": run_id, "event_seq": seq + 1, "event_rows": event_rows([told], seq + 1)},
            rows=False,
        ),
    )
