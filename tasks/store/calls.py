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
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from tasks.engine.ports import BudgetReached, LeaseLost

from . import sql
from .pool import Connection
from .work import Late, Query, Work, transact

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

    async def write(self, call: NewCall, *, alone: bool = False) -> None:
        """Return when the call is committed. `alone`: no other is to be expected now.

        Raises `LeaseLost`, `BudgetReached`, and what the database raises.
        """
        waiting = _Waiting(call, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._job is None or self._job.done():
            self._job = asyncio.create_task(self._write_all(alone), name="calls")
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

    async def _write_all(self, alone: bool) -> None:
        if not alone:
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
        """Write a batch; return for each call why it was refused, or None.

        It takes one round trip, but for calls of networks with a budget: their money is looked at before.
        """
        calls = [waiting.call for waiting in batch]
        locked, written = Late(), Late()
        await transact(self.pool, _unlimited(calls, locked, written))
        ours = {row["call"] for row in written.rows}
        refusals: Refusals = {
            id_: None if id_ in ours else LeaseLost(call.row["step"]) for id_, call in _by_id(calls)
        }
        limited = {row["id"] for row in locked.rows if row["budget"] is not None}
        if limited:
            refusals |= await transact(self.pool, _limited([c for c in calls if c.run_id in limited]))
        return [refusals[id_] for id_, _ in _by_id(calls)]


Refusals = dict[str, Exception | None]


def _by_id(calls: Sequence[NewCall]) -> list[tuple[str, NewCall]]:
    return [(call.row["call"], call) for call in calls]


def _lock(calls: Sequence[NewCall], late: Late | None = None) -> Query:
    runs = sorted({call.run_id for call in calls})
    return Query(sql.LOCK_RUNS_FOR_CALLS, {"runs": runs}, late=late)


def _insert(calls: Sequence[NewCall], *, funded: bool, late: Late | None = None) -> Query:
    rows = Jsonb([{"n": n, **call.row} for n, call in enumerate(calls)])
    return Query(sql.BEGIN_CALLS, {"rows": rows, "funded": funded}, late=late)


def _unlimited(calls: Sequence[NewCall], locked: Late, written: Late) -> Work[None]:
    """Write the calls that no budget limits."""
    yield (_lock(calls, locked), _insert(calls, funded=False, late=written))


def _limited(calls: Sequence[NewCall]) -> Work[Refusals]:
    """Write the calls for which there is money."""
    [found] = yield (_lock(calls),)
    runs = {row["id"]: {**row, "reserved": 0} for row in found}
    [reserved] = yield (Query(sql.RESERVED, {"runs": list(runs)}),)
    for row in reserved:
        runs[row["run_id"]]["reserved"] = row["sum"]
    refusals: Refusals = {id_: _refusal(call, runs.get(call.run_id)) for id_, call in _by_id(calls)}
    allowed = [call for id_, call in _by_id(calls) if refusals[id_] is None]
    if allowed:
        [rows] = yield (_insert(allowed, funded=True),)
        ours = {row["call"] for row in rows}
        refusals |= {id_: LeaseLost(call.row["step"]) for id_, call in _by_id(allowed) if id_ not in ours}
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
