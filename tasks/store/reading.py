"""What executors read: the results of other steps, and memory."""

from collections.abc import Collection, Sequence

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from memory.recall import RECALL_SQL
from tasks.engine.ports import ChildRun, EndedStep, PartResult, Recalled

from . import sql, workflow_sql
from .pool import Connection

# Memory is searched by the first words of the question: a long one finds everything and costs accordingly.
QUERY_CHARACTERS = 600


class ReadStore:
    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    async def results(self, run_id: str) -> Sequence[PartResult]:
        """Return the run's delegated steps that have ended, in plan order."""
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(sql.RESULTS, {"run": run_id})
            rows = await cursor.fetchall()
        return [
            PartResult(
                key=row["key"],
                agent_id=row["agent_id"],
                description=row["description"] or "",
                status=row["state"],
                required=row["required"],
                output=row["output"],
                error=row["error_detail"],
            )
            for row in rows
        ]

    async def recall(self, network_id: str, query: str, limit: int) -> Sequence[Recalled]:
        """Return the memory items most relevant to a question."""
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                RECALL_SQL, {"network_id": network_id, "query": query[:QUERY_CHARACTERS], "limit": limit}
            )
            rows = await cursor.fetchall()
        return [
            Recalled(row["id"], row["type"], row["content"], row["confidence"], row["source"], row["trusted"])
            for row in rows
        ]

    async def ended(
        self, run_id: str, nodes: Collection[str], parents: Collection[str]
    ) -> Sequence[EndedStep]:
        """Return the ended steps of a workflow's nodes, and these steps, in the order in which they ended."""
        parameters = {"run": run_id, "nodes": list(nodes), "parents": list(parents)}
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(workflow_sql.ENDED_STEPS, parameters)
            return [EndedStep(**row) for row in await cursor.fetchall()]

    async def child_run(self, step_id: str) -> ChildRun | None:
        """Return the latest run that was started for a step."""
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(workflow_sql.CHILD_RUN, {"step": step_id})
            row = await cursor.fetchone()
            return ChildRun(**row) if row else None
