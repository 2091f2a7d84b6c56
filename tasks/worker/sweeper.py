"""The sweeper of every worker process: what is due happens though nobody hints at it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from tasks import metrics
from tasks.store.finish import TERMINAL

from .execution import Notify
from .incarnation import Incarnation
from .loop import StepLoop
from .persist import OUTAGE

log = structlog.get_logger(__name__)

SHORTEST_SLEEP = 0.05
HOUSEKEEPING_SECONDS = 60.0


class Sweeper:
    """Sweeps every `seconds`, sooner when a wait or a deadline is due sooner. Each row is isolated."""

    def __init__(self, life: Incarnation, steps: StepLoop, notify: Notify, *, seconds: float) -> None:
        self._life = life
        self._sweep = life.sweep
        self._steps = steps
        self._notify = notify
        self._seconds = seconds
        self._connected_since = time.monotonic()
        self._kept_house = time.monotonic()

    async def run_forever(self) -> None:
        while True:
            pause = self._seconds
            try:
                await self.sweep()
                nearest = await self._sweep.seconds_to_next()
                if nearest is not None:
                    pause = min(pause, max(SHORTEST_SLEEP, nearest))
            except OUTAGE as error:
                # After an outage leases get a full life before they may expire: heartbeats go first.
                self._connected_since = time.monotonic()
                log.warning("cannot sweep", error=str(error)[:200])
                pause = min(1.0, self._seconds)
            await asyncio.sleep(pause)

    async def sweep(self) -> None:
        settled = time.monotonic() - self._connected_since >= self._life.lease.ttl
        orphans = await self._sweep.orphans(
            settled=settled, held=[step_id for step_id, _ in self._steps.held]
        )
        for orphan in orphans:
            await self._isolated(partial(self._recover, orphan), orphan.run_id)
        if orphans:
            metrics.lease_lost(len(orphans))
        for run_id in await self._sweep.overdue_runs():
            await self._isolated(partial(self._time_out, run_id), run_id)
        for end in await self._sweep.overdue_steps():
            await self._isolated(partial(self._sweep.end_step, end), end.run_id)
            self._notify(end.run_id, ended=True)
        due = await self._sweep.due_approvals()
        for approval_id, run_id in due:
            await self._isolated(partial(self._expire, approval_id, run_id), run_id)
        for run_id in await self._sweep.forgotten_children():
            await self._isolated(partial(self._cancel_child, run_id), run_id)
        woken = await self._sweep.wake_due()
        if woken or orphans or due:
            self._steps.wake()
        if time.monotonic() - self._kept_house > HOUSEKEEPING_SECONDS:
            self._kept_house = time.monotonic()
            await self._sweep.forget_gone_workers()
            await self._sweep.close_stale_calls()

    async def _recover(self, orphan: Any) -> None:
        kind = await self._sweep.recover(orphan)
        if kind is not None:
            log.warning(
                "took a step back from a lost worker", step_id=orphan.step_id, kind=kind, owner=orphan.owner
            )
            self._notify(orphan.run_id)

    async def _time_out(self, run_id: str) -> None:
        ended = await self._sweep.time_out(run_id)
        if ended is not None:
            planner, seconds = ended
            metrics.run_finished("failed", planner, seconds)
            log.warning("run timed out", run_id=run_id, seconds=round(seconds, 1))
            self._notify(run_id, ended=True)

    async def _expire(self, approval_id: str, run_id: str) -> None:
        finished = await self._sweep.expire(approval_id)
        if finished is not None:
            log.info("an approval's time is over", approval_id=approval_id)
            self._notify(run_id, ended=finished.run_state in TERMINAL)

    async def _cancel_child(self, run_id: str) -> None:
        ended = await self._sweep.cancel(run_id, "The step that started it does not wait for it any more.")
        if ended is not None:
            metrics.run_finished("cancelled", *ended)
            self._notify(run_id, ended=True)

    async def _isolated(self, work: Callable[[], Awaitable[None]], run_id: str) -> None:
        try:
            await work()
        except OUTAGE:
            raise
        except Exception:
            log.exception("sweeping a run failed", run_id=run_id)
