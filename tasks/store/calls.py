"""Writing calls down before they are sent, many in one transaction.

Steps that are ready to ask at the same time, typically the specialists of a run, would otherwise wait for
each other: each commit holds the run's lock. While one batch is written the next gathers, so batches are
of one when there is little to do and grow with the load.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from tasks.engine.ports import BudgetReached, LeaseLost

from . import sql
from .pool import Connection

LARGEST_BATCH = 32


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call to write: `row` is one of `sql.BEGIN_CALLS`."""

    run_id: str
    estimated_cost: float
    row: Mapping[str, Any]


@dataclass(slots=True)
class _Waiting:
    call: NewCall
    written: "asyncio.Future[None]"
    abandoned: bool = False


@dataclass(slots=True)
class CallWriter:
    """Writes calls in batches, in the order in which they come."""

    pool: AsyncConnectionPool[Connection]
    _queue: "deque[_Waiting]" = field(default_factory=deque)
    _job: "asyncio.Task[None] | None" = None
    _closing: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def write(self, call: NewCall) -> None:
        """Return when the call is committed. Raises `LeaseLost`, `BudgetReached`, and what the database raises."""
        waiting = _Waiting(call, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._job is None or self._job.done():
            self._job = asyncio.create_task(self._write_all(), name="calls")
        try:
            await waiting.written
        except asyncio.CancelledError:
            waiting.abandoned = True  # it may be on its way: then it is closed as never sent
            if not waiting.written.cancelled() and waiting.written.exception() is None:
                # It had just been written when we were told to stop.
                closing = asyncio.create_task(self._close([call.row["call"]]), name="abandoned call")
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            raise

    async def _write_all(self) -> None:
        await asyncio.sleep(0.001)  # specialists come together: let them into one batch
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(LARGEST_BATCH, len(self._queue)))]
            batch = [waiting for waiting in batch if not waiting.abandoned]
            if batch:
                await self._settle(batch)

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        """Write a batch and tell each caller; a value that cannot be stored fails alone."""
        try:
            refusals = await self._write(batch)
        except psycopg.DataError as error:
            if len(batch) == 1:
                _tell(batch[0], error)
                return
            for waiting in batch:
                await self._settle([waiting])
            return
        except Exception as error:
            for waiting in batch:
                _tell(waiting, error)
            return
        for waiting, refusal in zip(batch, refusals, strict=True):
            _tell(waiting, refusal)
        unsent = [
            waiting.call.row["call"]
            for waiting, refusal in zip(batch, refusals, strict=True)
            if waiting.abandoned and refusal is None
        ]
        if unsent:
            await self._close(unsent)

    async def _close(self, calls: Sequence[str]) -> None:
        """Close calls that were written and never sent. What an outage leaves open, the sweeper closes."""
        with suppress(psycopg.OperationalError):  # must not take the writer with it: others wait in the queue
            async with self.pool.connection() as connection:
                await connection.execute(sql.ABANDON_CALLS, {"calls": list(calls)})

    async def _write(self, batch: Sequence[_Waiting]) -> list[Exception | None]:
        """Write a batch in one transaction; return for each call why it was refused, or None."""
        calls = [waiting.call for waiting in batch]
        refusals: list[Exception | None] = [None] * len(calls)
        async with self.pool.connection() as connection, connection.transaction():
            locking = connection.cursor(row_factory=dict_row)
            await locking.execute(sql.LOCK_RUNS_FOR_CALLS, {"runs": sorted({call.run_id for call in calls})})
            runs = {row["id"]: row | {"reserved": 0} for row in await locking.fetchall()}
            if limited := [id_ for id_, run in runs.items() if run["budget"] is not None]:
                reserving = await connection.execute(sql.RESERVED, {"runs": limited})
                for id_, reserved in await reserving.fetchall():
                    runs[id_]["reserved"] = reserved
            for place, call in enumerate(calls):
                refusals[place] = _refusal(call, runs.get(call.run_id))
            rows = [{"n": n, **call.row} for n, call in enumerate(calls) if refusals[n] is None]
            if rows:
                writing = await connection.execute(sql.BEGIN_CALLS, {"rows": Jsonb(rows)})
                ours = {row[0] for row in await writing.fetchall()}
                for place, call in enumerate(calls):
                    if refusals[place] is None and call.row["call"] not in ours:
                        refusals[place] = LeaseLost(call.row["step"])
        return refusals


def _refusal(call: NewCall, run: dict[str, Any] | None) -> Exception | None:
    """Say why a call may not be made: its run has ended, or its money. Reserves what it may cost."""
    if run is None:
        return LeaseLost(call.row["step"])
    if run["budget"] is None:
        return None
    spent, open_calls = float(run["cost"]), float(run["reserved"])
    budget = float(run["budget"])
    # One call is always allowed while money remains, however large its estimate.
    if spent >= budget or (open_calls > 0 and spent + open_calls + call.estimated_cost > budget):
        return BudgetReached(call.row["step"])
    run["reserved"] = open_calls + max(call.estimated_cost, 1e-9)
    return None


def _tell(waiting: _Waiting, error: Exception | None) -> None:
    if waiting.written.done():
        return  # its caller was cancelled
    if error is None:
        waiting.written.set_result(None)
    else:
        waiting.written.set_exception(error)
