"""Ending a step: the reply, the output, what follows, the run's totals and the events, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from agents.resilience.ports import CallEnd
from tasks.engine import crash
from tasks.engine.executor import STEP_VERSION
from tasks.engine.planner import Fail, Finish, NewStep, Planner, RunSteps, RunView, StepView, promotable
from tasks.engine.ports import NewMemory
from web.ids import new_id, new_ids

from . import sql
from .journal import settlement
from .pool import Connection, pipelined

TERMINAL = ("succeeded", "failed", "cancelled")
# While the run waits for these its clock stands; providers and rate limits are waited for on the run's time.
CLOCK_STOPPING = ("budget", "approval")


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a step ended. The sweeper ends steps that it does not own: it names the states it may end them in."""

    step_id: str
    run_id: str
    fence: int
    state: Literal["succeeded", "failed", "cancelled"]
    worker: str
    output: Mapping[str, Any] | None = None
    error_code: str = ""
    error_detail: str = ""
    attempt_outcome: str = ""
    memories: Sequence[NewMemory] = ()
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()
    settle: CallEnd | None = None
    from_states: tuple[str, ...] = ("running",)
    bump_fence: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of it. `stale`: the fence had moved and nothing was changed."""

    stale: bool = False
    run_state: str = ""
    run_seconds: float = 0.0
    planner: str = ""
    claimed: Sequence[str] = ()
    ready: Sequence[tuple[str, str]] = ()
    events: int = 0


@dataclass(slots=True)
class _Plan:
    """The writes that follow from the end of a step."""

    run_state: str
    wait_reason: str = ""
    output: Mapping[str, Any] | None = None
    error: Fail | None = None
    iterations: int | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    promotions: list[dict[str, Any]] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    ready: list[tuple[str, str]] = field(default_factory=list)


class FinishStore:
    def __init__(
        self, pool: AsyncConnectionPool[Connection], owner: str, planners: Mapping[str, Planner]
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._planners = planners

    async def finish(self, end: StepEnd, *, free_slots: int = 0) -> Finished:
        """End a step and plan what follows.

        With `free_slots` the next steps are claimed by this worker at once, unless other work waits for a
        worker. The reply in `end.settle` is kept even when the step is no longer ours.
        """
        finished = await self._finish(end, free_slots)
        if not finished.stale:
            crash.point(crash.FINISH_COMMITTED)
        return finished

    async def _finish(self, end: StepEnd, free_slots: int) -> Finished:
        async with pipelined(self._pool) as connection:
            locking = connection.cursor(row_factory=dict_row)
            reading = connection.cursor(row_factory=dict_row)
            await locking.execute(sql.LOCK_RUN, {"run": end.run_id})
            run = await locking.fetchone()
            if run is None:
                return Finished(stale=True)
            urgency = {"priority_seconds": run["priority"] * sql.PRIORITY_SECONDS}
            await reading.execute(sql.STEPS, {"run": end.run_id, "project": run["project_id"], **urgency})
            if end.settle is not None:
                await connection.execute(sql.SETTLE_CALL, settlement(end.settle))
            rows = await reading.fetchall()
            ours = next((row for row in rows if row["id"] == end.step_id), None)
            if (
                run["state"] in TERMINAL
                or ours is None
                or ours["fence"] != end.fence
                or ours["state"] not in end.from_states
            ):
                return Finished(stale=True)  # the reply is kept: leaving the block commits it
            slots = 0 if rows[0]["crowded"] else free_slots
            plan = self._plan(end, run, rows, slots)
            events = _events(end, ours, plan)
            finishing = await connection.execute(
                sql.FINISH_STEP, {**self._finish_parameters(end, run, plan, events), **urgency}
            )
            if plan.rows:
                await connection.execute(
                    sql.INSERT_STEPS,
                    {
                        "run": end.run_id,
                        "project": run["project_id"],
                        "version": STEP_VERSION,
                        "rows": Jsonb(plan.rows),
                        **urgency,
                    },
                )
            crash.point(crash.FINISH_BEFORE_COMMIT)
            changed = await finishing.fetchone()
            if changed is None or changed[0] != 1:
                raise RuntimeError(f"step {end.step_id} changed hands under its run's lock")
        return Finished(
            run_state=plan.run_state,
            run_seconds=run["age"] or 0.0,
            planner=run["planner"],
            claimed=plan.claimed,
            ready=plan.ready,
            events=len(events),
        )

    def _plan(
        self, end: StepEnd, run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], slots: int
    ) -> _Plan:
        steps = tuple(_view(row, end) for row in rows)
        view = RunView(end.run_id, run["max_iterations"], steps, run["seconds_left"])
        ended = next(step for step in steps if step.id == end.step_id)
        match self._planners[run["planner"]].after(view, ended, end.output):
            case Finish(output):
                return _Plan("succeeded", output=output)
            case Fail() as error:
                return _Plan("failed", error=error)
            case RunSteps(new, iteration):
                return self._continue(steps, new, iteration, run, slots)

    def _continue(
        self,
        steps: tuple[StepView, ...],
        new: Sequence[NewStep],
        iteration: int | None,
        run: Mapping[str, Any],
        slots: int,
    ) -> _Plan:
        ids = {step.key: step.id for step in steps}
        ids |= {step.key: id_ for step, id_ in zip(new, new_ids("step", len(new)), strict=True)}
        added = tuple(
            StepView(ids[step.key], step.key, step.kind, "pending", tuple(ids[key] for key in step.parents))
            for step in new
        )
        going_on = promotable((*steps, *added), run["max_parallel_steps"])
        claimed = {step.id for step in going_on[:slots]}
        promoted = {step.id for step in going_on}
        plan = _Plan("running", iterations=iteration)
        for step in going_on:
            if step.id in claimed:
                plan.claimed.append(step.id)
            else:
                plan.ready.append((step.kind, step.id))
        plan.promotions = [
            {
                "id": step.id,
                "state": "running" if step.id in claimed else "ready",
                "owner": self._owner if step.id in claimed else "",
                "claim": int(step.id in claimed),
            }
            for step in going_on
            if step not in added
        ]
        plan.rows = [
            {
                "id": view.id,
                "key": step.key,
                "kind": step.kind,
                "label": step.label,
                "agent_id": step.agent_id,
                "round": step.round,
                "required": step.required,
                "parents": list(view.parents),
                "state": "running" if view.id in claimed else "ready" if view.id in promoted else "pending",
                "owner": self._owner if view.id in claimed else "",
                "fence": int(view.id in claimed),
                "seconds": step.seconds,
                "input": step.input,
            }
            for step, view in zip(new, added, strict=True)
        ]
        if not going_on and not any(step.state in ("ready", "running") for step in steps):
            reasons = [step.wait_reason for step in steps if step.state in ("waiting", "waiting_human")]
            if not reasons:
                return _Plan("failed", error=Fail("stalled", "The plan has no next step."))
            plan.run_state = "waiting"
            plan.wait_reason = min(
                reasons, key=CLOCK_STOPPING.__contains__
            )  # any other keeps the clock going
        return plan

    def _finish_parameters(
        self,
        end: StepEnd,
        run: Mapping[str, Any],
        plan: _Plan,
        events: Sequence[tuple[str, str | None, Mapping[str, Any]]],
    ) -> dict[str, Any]:
        first = run["event_seq"] + 1
        return {
            "step": end.step_id,
            "run": end.run_id,
            "fence": end.fence,
            "bump": int(end.bump_fence),
            "from_states": list(end.from_states),
            "state": end.state,
            "error_code": end.error_code[:40],
            "error_detail": end.error_detail[:1000],
            "output": Jsonb(end.output) if end.output is not None else None,
            "worker": end.worker,
            "outcome": end.attempt_outcome or end.state,
            "event_seq": run["event_seq"] + len(events),
            "event_rows": Jsonb(
                [
                    {"seq": seq, "type": type_, "step_id": step_id, "payload": payload}
                    for seq, (type_, step_id, payload) in enumerate(events, first)
                ]
            ),
            "run_output": Jsonb(plan.output) if plan.output is not None else None,
            "run_state": plan.run_state,
            "wait_reason": plan.wait_reason,
            "iterations": plan.iterations,
            "run_error_code": plan.error.code[:40] if plan.error else "",
            "run_error_detail": plan.error.detail[:1000] if plan.error else "",
            "terminal": plan.run_state in TERMINAL,
            "stop_clock": plan.wait_reason in CLOCK_STOPPING,
            "promotions": Jsonb(plan.promotions),
            "network": run["network_id"],
            "memories": Jsonb(_memories(end)),
        }


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


def _view(row: Mapping[str, Any], end: StepEnd) -> StepView:
    ended = row["id"] == end.step_id
    return StepView(
        id=row["id"],
        key=row["key"],
        kind=row["kind"],
        state=end.state if ended else row["state"],
        parents=tuple(row["parents"]),
        round=row["round"],
        required=row["required"],
        agent_id=row["agent_id"],
        wait_reason=row["wait_reason"],
        error_code=end.error_code if ended else row["error_code"],
        error_detail=end.error_detail if ended else row["error_detail"],
    )


def _events(
    end: StepEnd, ours: Mapping[str, Any], plan: _Plan
) -> list[tuple[str, str | None, Mapping[str, Any]]]:
    """Return the events of the end of a step, in order; a terminal event is the run's last."""
    events: list[tuple[str, str | None, Mapping[str, Any]]] = [
        (type_, end.step_id, payload) for type_, payload in end.events
    ]
    about = {"key": ours["key"], "kind": ours["kind"], "agent_id": ours["agent_id"]}
    if end.memories:
        written = [{"type": item.type, "content": item.content[:200]} for item in end.memories]
        events.append(("memory.written", end.step_id, {"agent_id": ours["agent_id"], "items": written}))
    if end.state == "succeeded":
        confidence = (end.output or {}).get("confidence")
        events.append(("step.completed", end.step_id, {**about, "confidence": confidence}))
    else:
        error = {"code": end.error_code, "detail": end.error_detail[:500]}
        kind = "step.failed" if end.state == "failed" else "step.skipped"
        events.append((kind, end.step_id, {**about, "error": error}))
    if plan.run_state == "succeeded":
        events.append(("run.completed", None, {"confidence": (plan.output or {}).get("confidence")}))
    elif plan.run_state == "waiting":
        events.append(("run.waiting", None, {"reason": plan.wait_reason}))
    elif plan.error is not None:
        events.append(("run.failed", None, {"code": plan.error.code, "detail": plan.error.detail[:500]}))
    return events
