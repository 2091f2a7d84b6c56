"""Ending a step: the reply, the output, what follows, the run's totals and the events, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from agents.resilience.ports import CallEnd
from tasks.engine import crash
from tasks.engine.executor import STEP_VERSION
from tasks.engine.planner import StepView
from tasks.engine.planners import PLANNERS
from tasks.engine.ports import EndedStep, NewMemory
from web.ids import new_id

from . import sql
from .growth import NewEvent
from .journal import settlement
from .loading import Loading, loads
from .passing import UNREAD, Passing
from .planning import Plan, plan_after
from .pool import Connection
from .snapshots import Snapshots
from .work import Query, Rows, Work, transact

_NO_CALL = CallEnd(call_id="", state="cancelled", latency_ms=0.0, first_token_ms=0.0)

TERMINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a step ended. The sweeper ends steps that it does not own: it names the states it may end them in.

    `input`, `writes` and `taken` are of workflows' steps; `run_input` is the run's, where it is at hand.
    """

    step_id: str
    run_id: str
    fence: int
    state: Literal["succeeded", "failed", "cancelled"]
    worker: str
    output: Any = None
    error_code: str = ""
    error_detail: str = ""
    attempt_outcome: str = ""
    memories: Sequence[NewMemory] = ()
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()
    settle: CallEnd | None = None
    from_states: tuple[str, ...] = ("running",)
    bump_fence: bool = False
    input: Any = None
    writes: Mapping[str, Any] | None = None
    taken: tuple[str, ...] | None = None
    run_input: Any = UNREAD


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of it. `stale`: the fence had moved and nothing was changed. `claimed` are steps with what their
    executors need."""

    stale: bool = False
    run_state: str = ""
    run_seconds: float = 0.0
    planner: str = ""
    claimed: Sequence[Loading] = ()
    ready: Sequence[tuple[str, str]] = ()
    events: int = 0


class FinishStore:
    def __init__(
        self, pool: AsyncConnectionPool[Connection], owner: str, snapshots: Snapshots | None = None
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._snapshots = snapshots or Snapshots()

    async def finish(self, end: StepEnd, *, free_slots: int = 0) -> Finished:
        """End a step and plan what follows.

        With `free_slots` the next steps are claimed by this worker at once, unless other work waits for a
        worker. The reply in `end.settle` is kept even when the step is no longer ours.
        """
        finished = await transact(
            self._pool, finishing(end, self._snapshots, owner=self._owner, slots=free_slots)
        )
        if not finished.stale:
            crash.point(crash.FINISH_COMMITTED)
        return finished


def lock(run_id: str) -> Sequence[Query]:
    """Lock a run and read its steps."""
    return (
        Query(sql.LOCK_RUN, {"run": run_id}),
        Query(sql.STEPS, {"run": run_id, "point": sql.PRIORITY_SECONDS}),
    )


def finishing(end: StepEnd, snapshots: Snapshots, *, owner: str = "", slots: int = 0) -> Work[Finished]:
    """End a step, if it is still as `end` says."""
    [runs, steps] = yield lock(end.run_id)
    if not runs:
        return Finished(stale=True)
    ours = next((step for step in steps if step["id"] == end.step_id), None)
    if (
        runs[0]["state"] in TERMINAL
        or ours is None
        or ours["fence"] != end.fence
        or ours["state"] not in end.from_states
    ):
        if end.settle is not None:  # the reply is kept: leaving the block commits it
            yield (Query(sql.SETTLE_CALL, settlement(end.settle), rows=False),)
        return Finished(stale=True)
    return (yield from ending(end, runs[0], steps, snapshots, owner=owner, slots=slots))


def ending(
    end: StepEnd,
    run: Mapping[str, Any],
    steps: Rows,
    snapshots: Snapshots,
    *,
    owner: str = "",
    slots: int = 0,
    told: Sequence[NewEvent] = (),
) -> Work[Finished]:
    """End a step of a locked run. `told` are events of what led to it."""
    graph = passing = None
    seen = tuple(_view(step, end) for step in steps)
    ended = next(step for step in seen if step.id == end.step_id)
    if run["planner"] == "graph":
        views = yield from snapshots.load([run["snapshot_id"]])
        graph = views[run["snapshot_id"]].graph
        passing = Passing(
            end.run_id, run, views[run["snapshot_id"]], [_ended(end, ended)], given=end.run_input
        )
    plan = yield from plan_after(
        PLANNERS[run["planner"]],
        run,
        end.run_id,
        seen,
        ended,
        end.output,
        passing=passing,
        graph=graph,
        owner=owner,
        slots=0 if steps[0]["crowded"] else slots,
    )
    ours = next(step for step in steps if step["id"] == end.step_id)
    events = [*told, *_events(end, ours, run, plan)]
    urgency = {"priority_seconds": run["priority"] * sql.PRIORITY_SECONDS}
    writes = [Query(sql.FINISH_STEP, {**_parameters(end, run, plan, events), **urgency}, rows=False)]
    if run["clock_stopped"] and not plan.stops_clock:
        writes.insert(0, Query(sql.SHIFT_DEADLINES, {"run": end.run_id}, rows=False))
    if plan.rows:
        rows = {
            "run": end.run_id,
            "project": run["project_id"],
            "version": STEP_VERSION,
            "rows": Jsonb(plan.rows),
            **urgency,
        }
        writes.append(Query(sql.INSERT_STEPS, rows, rows=False))
    if plan.run_state in TERMINAL and run["parent_step_id"]:
        writes.append(Query(sql.WAKE_PARENT, {"step": run["parent_step_id"]}, rows=False))
    claimed = [Loading(step) for step in plan.claimed]
    yield [*writes, *loads(claimed, end.run_id, owner, graph)]
    crash.point(crash.FINISH_BEFORE_COMMIT)
    return Finished(
        run_state=plan.run_state,
        run_seconds=run["age"] or 0.0,
        planner=run["planner"],
        claimed=claimed,
        ready=plan.ready,
        events=len(events),
    )


def event_rows(events: Sequence[NewEvent], first: int) -> Jsonb:
    """Number events on from `first`."""
    return Jsonb(
        [
            {"seq": seq, "type": type_, "step_id": step_id, "payload": payload}
            for seq, (type_, step_id, payload) in enumerate(events, first)
        ]
    )


def _parameters(
    end: StepEnd, run: Mapping[str, Any], plan: Plan, events: Sequence[NewEvent]
) -> dict[str, Any]:
    return {
        "step": end.step_id,
        "run": end.run_id,
        "fence": end.fence,
        "bump": int(end.bump_fence),
        "from_states": list(end.from_states),
        "state": end.state,
        "error_code": end.error_code[:40],
        "error_detail": end.error_detail[:1000],
        "input": _json(end.input),
        "output": _json(end.output),
        "writes": _json(end.writes),
        "taken": list(end.taken) if end.taken is not None else None,
        "worker": end.worker,
        "outcome": end.attempt_outcome or end.state,
        "event_seq": run["event_seq"] + len(events),
        "event_rows": event_rows(events, run["event_seq"] + 1),
        "run_output": _json(plan.output),
        "output_of": plan.output_of,
        "run_state": plan.run_state,
        "wait_reason": plan.wait_reason,
        "iterations": plan.iterations,
        "run_error_code": plan.error.code[:40] if plan.error else "",
        "run_error_detail": plan.error.detail[:1000] if plan.error else "",
        "terminal": plan.run_state in TERMINAL,
        "stop_clock": plan.stops_clock,
        "promotions": Jsonb(plan.promotions),
        "unneeded": plan.unneeded,
        "network": run["network_id"],
        "memories": Jsonb(_memories(end)),
        "rehearsed": 0,
        **{f"call_{name}": value for name, value in settlement(end.settle or _NO_CALL).items()},
    }


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)


def _memories(end: StepEnd) -> list[dict[str, Any]]:
    """Return the memory items of a step's end; their keys let a repeated step write them once."""
    return [
        {
            "id": new_id("memory"),
            "type": item.type,
            "content": item.content,
            "confidence": item.confidence,
            "write_key": f"{end.step_id}:{number}",
        }
        for number, item in enumerate(end.memories)
    ]


def view_of(row: Mapping[str, Any]) -> StepView:
    """A step as planners see it, out of a row of `sql.STEPS`."""
    return StepView(
        id=row["id"],
        key=row["key"],
        kind=row["kind"],
        state=row["state"],
        parents=tuple(row["parents"]),
        round=row["round"],
        required=row["required"],
        agent_id=row["agent_id"],
        wait_reason=row["wait_reason"],
        error_code=row["error_code"],
        error_detail=row["error_detail"],
        taken=tuple(row["taken"] or ()),
    )


def _ended(end: StepEnd, view: StepView) -> EndedStep:
    """The step that ends, as those behind it see it."""
    return EndedStep(
        end.step_id, view.key, end.state, end.output, end.writes, end.error_code, end.error_detail
    )


def _view(row: Mapping[str, Any], end: StepEnd) -> StepView:
    if row["id"] != end.step_id:
        return view_of(row)
    return view_of(
        {
            **row,
            "state": end.state,
            "error_code": end.error_code,
            "error_detail": end.error_detail,
            "taken": end.taken,
        }
    )


def _events(end: StepEnd, ours: Mapping[str, Any], run: Mapping[str, Any], plan: Plan) -> list[NewEvent]:
    """Return the events of the end of a step, in order; a terminal event is the run's last."""
    events: list[NewEvent] = []
    if run["state"] == "waiting" and plan.run_state == "running":
        events.append(("run.resumed", None, {}))
    events += [(type_, end.step_id, payload) for type_, payload in end.events]
    about = {"key": ours["key"], "kind": ours["kind"], "agent_id": ours["agent_id"]}
    if end.memories:
        written = [{"type": item.type, "content": item.content[:200]} for item in end.memories]
        events.append(("memory.written", end.step_id, {"agent_id": ours["agent_id"], "items": written}))
    if end.state == "succeeded":
        told = (
            {"taken": list(end.taken)} if end.taken is not None else {"confidence": _confidence(end.output)}
        )
        events.append(("step.completed", end.step_id, {**about, **told}))
    else:
        error = {"code": end.error_code, "detail": end.error_detail[:500]}
        kind = "step.failed" if end.state == "failed" else "step.skipped"
        events.append((kind, end.step_id, {**about, "error": error}))
    events += plan.told
    if plan.run_state == "succeeded":
        events.append(("run.completed", None, {"confidence": _confidence(plan.output)}))
    elif plan.run_state == "waiting" and (run["state"], run["wait_reason"]) != ("waiting", plan.wait_reason):
        events.append(("run.waiting", None, {"reason": plan.wait_reason}))
    elif plan.error is not None:
        events.append(("run.failed", None, {"code": plan.error.code, "detail": plan.error.detail[:500]}))
    return events


def _confidence(output: Any) -> Any:
    return output.get("confidence") if isinstance(output, Mapping) else None
