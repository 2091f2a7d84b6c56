"""Taking steps from the queue, and loading what their executors need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from tasks.engine.executor import EXECUTORS, STEP_VERSION
from tasks.engine.ports import EndedStep, SnapshotView, StepWork

from . import sql
from .loading import Loading
from .pool import Connection
from .snapshots import Snapshots
from .work import perform


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed step and the worker's own facts about it. Seconds are from now on; None is without limit.

    `before` is what ended before a workflow's step, where it was read with the claim.
    """

    work: StepWork
    releases: int
    crashes: int
    seconds_left: float | None
    queued_seconds: float
    request_id: str
    step_seconds: float | None = None
    before: Sequence[EndedStep] | None = None


class ClaimStore:
    """Claims for one worker incarnation."""

    def __init__(self, pool: AsyncConnectionPool[Connection], owner: str, snapshots: Snapshots) -> None:
        self._pool = pool
        self._owner = owner
        self._snapshots = snapshots

    async def claim(self, limit: int) -> list[Claimed]:
        """Take up to `limit` ready steps. A lost race is an empty list."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                sql.CLAIM,
                {"kinds": list(EXECUTORS), "version": STEP_VERSION, "limit": limit, "owner": self._owner},
            )
            ids = [row[0] for row in await cursor.fetchall()]
        return await self.load(ids)

    async def load(self, ids: Sequence[str]) -> list[Claimed]:
        """Load steps that this incarnation holds; those it has lost meanwhile are left out."""
        if not ids:
            return []
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(sql.LOAD, {"ids": list(ids), "owner": self._owner})
            rows = await cursor.fetchall()
            views = await perform(connection, self._snapshots.load([row["snapshot_id"] for row in rows]))
        return [self._claimed(row, views[row["snapshot_id"]]) for row in rows]

    async def loaded(self, steps: Sequence[Loading]) -> list[Claimed]:
        """Return steps that were claimed and read with a finish; those that are not ours are left out."""
        known = self._snapshots.known
        ours = [(step, step.row) for step in steps if step.row is not None]
        if any(known(row["snapshot_id"]) is None for _, row in ours):
            return await self.load([step.step.id for step, _ in ours])
        return [
            replace(self._claimed(row, view), before=step.before)
            for step, row in ours
            if (view := known(row["snapshot_id"])) is not None
        ]

    def _claimed(self, row: Mapping[str, Any], snapshot: SnapshotView) -> Claimed:
        limits = [row[name] for name in ("run_seconds", "step_seconds") if row[name] is not None]
        return Claimed(
            work=work_of(row, snapshot),
            releases=row["releases"],
            crashes=row["crashes"],
            seconds_left=min(limits) if limits else None,
            queued_seconds=row["queued_seconds"] or 0.0,
            request_id=row["request_id"],
            step_seconds=row["step_seconds"],
        )


def work_of(row: Mapping[str, Any], snapshot: SnapshotView) -> StepWork:
    """A claimed step as executors see it, out of a row of `sql.LOAD`."""
    return StepWork(
        id=row["id"],
        run_id=row["run_id"],
        project_id=row["project_id"],
        network_id=row["network_id"] or "",
        key=row["key"],
        kind=row["kind"],
        label=row["label"],
        round=row["round"],
        agent_id=row["agent_id"],
        fence=row["fence"],
        max_iterations=row["max_iterations"],
        input=row["input"],
        run_input=row["run_input"],
        snapshot=snapshot,
        frozen=row["context"],
        tries=row["tries"],
        parents=tuple(row["parents"]),
    )
