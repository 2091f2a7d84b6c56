"""What has to happen though no worker is at it: lost leases, waits that are due, deadlines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from . import sql, workflow_sql
from .deciding import AlreadyDecided, expiring
from .finish import Finished, FinishStore, StepEnd
from .lease import LeaseStore
from .pool import Connection, pipelined
from .snapshots import Snapshots
from .work import transact

MAX_CRASHES = 3  # a step that took that many workers down with it is poison


@dataclass(frozen=True, slots=True)
class Orphan:
    """A running step whose owner is gone."""

    step_id: str
    run_id: str
    owner: str


_STRAGGLED: Final[Mapping[str, Any]] = {
    "state": "cancelled",
    "error_code": "straggler",
    "error_detail": "It was not done within its share of the run's time.",
    "attempt_outcome": "cancelled",
}
_TIMED_OUT: Final[Mapping[str, Any]] = {
    "state": "failed",
    "error_code": "timeout",
    "error_detail": "It was not done within its time.",
}


class SweepStore:
    """Each method does one kind of sweeping; each row is a transaction of its own."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        lease: LeaseStore,
        finish: FinishStore,
        snapshots: Snapshots,
    ) -> None:
        self._pool = pool
        self._lease = lease
        self._finish = finish
        self._snapshots = snapshots

    async def orphans(self, *, settled: bool, held: Sequence[str]) -> list[Orphan]:
        """Return running steps without a living owner. `settled`: this sweeper's own connection is a TTL old."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                sql.EXPIRED,
                {
                    "ttl": self._lease.ttl,
                    "settled": settled,
                    "slot": self._lease.slot,
                    "owner": self._lease.owner,
                    "slot_held": self._lease.slot_held,
                    "held": list(held),
                },
            )
            return [Orphan(*row) for row in await cursor.fetchall()]

    async def recover(self, orphan: Orphan) -> str | None:
        """Give an orphan back to the queue and return its kind, or end it as poison."""
        async with pipelined(self._pool) as connection:
            await connection.execute(sql.HOLD_RUN, {"run": orphan.run_id})
            step = await connection.execute(
                "SELECT fence, crashes, kind FROM tasks_step WHERE id = %s AND state = 'running' AND owner = %s"
                " FOR UPDATE",
                (orphan.step_id, orphan.owner),
            )
            row = await step.fetchone()
            if row is None:
                return None
            fence, crashes, kind = row
            await connection.execute(sql.CLOSE_LOST_CALLS, {"run": orphan.run_id, "owner": orphan.owner})
            poison = crashes + 1 >= MAX_CRASHES
            if not poison:
                await connection.execute(sql.RECOVER_STEP, {"step": orphan.step_id, "owner": orphan.owner})
        if poison:
            await self._finish.finish(
                StepEnd(
                    step_id=orphan.step_id,
                    run_id=orphan.run_id,
                    fence=fence,
                    state="failed",
                    worker=orphan.owner,
                    error_code="poison",
                    error_detail=f"The step took {MAX_CRASHES} workers down with it.",
                    attempt_outcome="lease_lost",
                    bump_fence=True,
                )
            )
        return str(kind)

    async def forget_gone_workers(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                sql.GONE_WORKERS,
                {
                    "owner": self._lease.owner,
                    "ttl": self._lease.ttl,
                    "slot": self._lease.slot,
                    "slot_held": self._lease.slot_held,
                },
            )

    async def wake_due(self) -> int:
        """Put waiting steps whose time has come back into the queue; return how many."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(sql.WAKE_DUE)
            woken = cursor.rowcount
            cursor = await connection.execute(workflow_sql.FORGOTTEN_PARENTS)
            woken += cursor.rowcount
            cursor = await connection.execute(sql.FUNDED_RUNS)
            for (run_id,) in await cursor.fetchall():
                cursor = await connection.execute(sql.RESUME_FUNDED, {"run": run_id})
                woken += cursor.rowcount
        return woken

    async def overdue_runs(self) -> list[str]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(sql.OVERDUE_RUNS)
            return [row[0] for row in await cursor.fetchall()]

    async def time_out(self, run_id: str) -> tuple[str, float] | None:
        """Fail a run that is out of time; return (planner, seconds), or None when it had ended already."""
        detail = "The run did not finish within its time."
        told = {"code": "timeout", "detail": detail}
        return await self._end_run(run_id, "failed", "run.failed", told, code="timeout", detail=detail)

    async def cancel(self, run_id: str, detail: str) -> tuple[str, float] | None:
        """Cancel a run; returns as `time_out` does."""
        return await self._end_run(
            run_id, "cancelled", "run.cancelled", {"reason": detail}, code="cancelled", detail=detail
        )

    async def _end_run(
        self, run_id: str, state: str, event: str, payload: Mapping[str, Any], *, code: str, detail: str
    ) -> tuple[str, float] | None:
        async with pipelined(self._pool) as connection:
            await connection.execute(sql.HOLD_RUN, {"run": run_id})
            cursor = await connection.execute(
                sql.END_RUN,
                {
                    "run": run_id,
                    "state": state,
                    "code": code,
                    "detail": detail,
                    "event": event,
                    "payload": Jsonb(payload),
                },
            )
            row = await cursor.fetchone()
            return (row[0], row[1] or 0.0) if row else None

    async def forgotten_children(self) -> list[str]:
        """Return runs whose step has gone on without them, or was ended with its own run."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(workflow_sql.FORGOTTEN_CHILDREN)
            return [row[0] for row in await cursor.fetchall()]

    async def due_approvals(self) -> list[tuple[str, str]]:
        """Return (approval, run) of approvals whose deadline is over."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(workflow_sql.DUE_APPROVALS)
            return list(await cursor.fetchall())

    async def expire(self, approval_id: str) -> Finished | None:
        """Do what an approval says of its deadline; None when somebody was quicker."""
        try:
            return await transact(self._pool, expiring(approval_id, self._snapshots))
        except AlreadyDecided:
            return None

    async def overdue_steps(self) -> Sequence[StepEnd]:
        """Return the ends of steps that used up their share of the time: not failed, but skipped over."""
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(sql.OVERDUE_STEPS)
            rows = await cursor.fetchall()
        return [
            StepEnd(
                step_id=row["id"],
                run_id=row["run_id"],
                fence=row["fence"],
                worker=self._lease.owner,
                **(_TIMED_OUT if row["planner"] == "graph" else _STRAGGLED),
                from_states=("pending", "ready", "running", "waiting"),
                bump_fence=True,
            )
            for row in rows
        ]

    async def end_step(self, end: StepEnd) -> None:
        await self._finish.finish(end)

    async def seconds_to_next(self) -> float | None:
        """Return the seconds until the nearest wait or deadline is due; None without one."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(sql.NEXT_DUE)
            row = await cursor.fetchone()
            return row[0] if row else None

    async def close_stale_calls(self) -> None:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(sql.STALE_CALLS)
            runs = [row[0] for row in await cursor.fetchall()]
        for run_id in runs:
            async with pipelined(self._pool) as connection:
                await connection.execute(sql.HOLD_RUN, {"run": run_id})
                await connection.execute(sql.CLOSE_STALE_CALLS, {"run": run_id})
