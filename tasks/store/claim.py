"""Taking steps from the queue, and loading what their executors need."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from tasks.engine.executor import EXECUTORS, STEP_VERSION
from tasks.engine.ports import AgentView, SnapshotView, StepWork

from . import sql
from .pool import Connection


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed step and the worker's own facts about it. Seconds are from now on; None is without limit."""

    work: StepWork
    releases: int
    crashes: int
    seconds_left: float | None
    queued_seconds: float
    request_id: str


class ClaimStore:
    """Claims for one worker incarnation. Snapshots are cached: they never change."""

    def __init__(
        self, pool: AsyncConnectionPool[Connection], owner: str, *, cached_snapshots: int = 256
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._snapshots: OrderedDict[str, SnapshotView] = OrderedDict()
        self._cached = cached_snapshots

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
            missing = {row["snapshot_id"] for row in rows} - self._snapshots.keys()
            for hash_ in missing:
                await cursor.execute(sql.SNAPSHOT, {"hash": hash_})
                body = await cursor.fetchone()
                if body is not None:
                    self._snapshots[hash_] = read_snapshot(body["body"])
        claimed = [self._claimed(row) for row in rows]
        while len(self._snapshots) > self._cached:
            self._snapshots.popitem(last=False)
        return claimed

    def _claimed(self, row: Mapping[str, Any]) -> Claimed:
        limits = [row[name] for name in ("run_seconds", "step_seconds") if row[name] is not None]
        self._snapshots.move_to_end(row["snapshot_id"])
        return Claimed(
            work=StepWork(
                id=row["id"],
                run_id=row["run_id"],
                project_id=row["project_id"],
                network_id=row["network_id"],
                key=row["key"],
                kind=row["kind"],
                label=row["label"],
                round=row["round"],
                agent_id=row["agent_id"],
                fence=row["fence"],
                max_iterations=row["max_iterations"],
                input=row["input"],
                run_input=row["run_input"],
                snapshot=self._snapshots[row["snapshot_id"]],
                frozen=row["context"],
            ),
            releases=row["releases"],
            crashes=row["crashes"],
            seconds_left=min(limits) if limits else None,
            queued_seconds=row["queued_seconds"] or 0.0,
            request_id=row["request_id"],
        )


def read_snapshot(body: Mapping[str, Any]) -> SnapshotView:
    """Read a snapshot's JSON as `tasks.snapshot` wrote it."""
    agents = {
        agent["id"]: AgentView(
            id=agent["id"],
            name=agent["name"],
            type=agent["type"],
            description=agent["description"],
            system_prompt=agent["system_prompt"],
            parameters=agent["parameters"],
            capabilities=tuple(agent["capabilities"]),
            models=tuple(agent["models"]),
        )
        for agent in body["agents"]
    }
    return SnapshotView(network=body["network"], agents=agents, coordinator=agents[body["coordinator_id"]])
