"""A job of the worker's loop for what falls due in a table: asked cheaply and often, done by plain code in a thread."""

import asyncio
from collections.abc import Callable
from typing import LiteralString

import structlog
from django.db import connections
from psycopg_pool import AsyncConnectionPool

from tasks.store.pool import Connection

log = structlog.get_logger(__name__)


class DueJob:
    """For one process. `run_forever` may be cancelled at any time: what `work` has in hand is its own to guard."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        *,
        what: str,
        question: LiteralString,
        work: Callable[[], object],
        poll_seconds: float,
    ) -> None:
        """`what`: for the log. `question`: SQL that tells in one row and column whether anything is due."""
        self._pool = pool
        self._what = what
        self._question = question
        self._work = work
        self._poll_seconds = poll_seconds

    async def run_forever(self) -> None:
        while True:
            try:
                if await self._anything_due():
                    await asyncio.to_thread(self._work_and_close)
            except Exception as error:  # an outage, or a defect: neither may end the worker
                log.warning("what is due cannot be done now", what=self._what, error=str(error)[:200])
            await asyncio.sleep(self._poll_seconds)

    async def _anything_due(self) -> bool:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(self._question)).fetchone()
            return bool(row and row[0])

    def _work_and_close(self) -> None:
        try:
            self._work()
        finally:
            connections.close_all()
