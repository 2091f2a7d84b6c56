"""What has to happen though no worker is at it: lost leases, waits that are due, deadlines."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from . import sql
from .finish import FinishStore, StepEnd
from .lease import LeaseStore
from .pool import Connection, pipelined

MAX_CRASHES = 3  # a step that took that many workers down with it is poison


@dataclass(frozen=True, slots=True)
class Orphan:
    """A running step whose owner is gone."""

    step_id: str
    run_id: str
    owner: str


class SweepStore:
    """Each method does one kind of sweeping; each row is a transaction of its own."""

    def __init__(self, pool: AsyncConnectionPool[Connection], lease: LeaseStore, finish: FinishStore) -> None:
        self._pool = pool
        self._lease = lease
        self._finish = finish

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
        async with pipelined(self._pool) as connection:
            await connection.execute(sql.HOLD_RUN, {"run": run_id})
            cursor = await connection.execute(
                sql.END_RUN,
                {
                    "run": run_id,
                    "state": "failed",
                    "code": "timeout",
                    "detail": detail,
                    "event": "run.failed",
                    "payload": Jsonb({"code": "timeout", "detail": detail}),
                },
            )
            row = await cursor.fetchone()
            return (row[0], row[1] or 0.0) if row else None

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
                state="cancelled",
                worker=self._lease.owner,
                error_code="straggler",
                error_detail="It was not done within its share of the run's time.",
                attempt_outcome="cancelled",
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
