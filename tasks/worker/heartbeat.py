"""Keeping the lease, and finding out which steps in hand are no longer ours."""

import asyncio
import time

import structlog

from tasks import metrics

from .incarnation import Incarnation
from .loop import StepLoop
from .persist import OUTAGE

log = structlog.get_logger(__name__)

WATCH_SECONDS = 0.5  # how soon a cancelled run's calls in flight are aborted


async def renew_forever(life: Incarnation, steps: StepLoop) -> None:
    """Renew the lease every third of its life. Returns when the others have given this incarnation up.

    It runs on the loop that does the work: a loop that hangs does not renew.
    """
    while True:
        try:
            if not await life.lease.renew(draining=not steps.claiming, stale_writes=steps.stale_writes):
                log.error("this worker was given up; starting over under a new name", owner=life.owner)
                return
            await life.lease.hold_slot()
        except OUTAGE as error:
            log.warning("cannot renew the lease", error=str(error)[:200])
            await asyncio.sleep(min(1.0, life.lease.ttl / 6))
            continue
        await asyncio.sleep(life.lease.ttl / 3)


async def watch_forever(life: Incarnation, steps: StepLoop) -> None:
    """Abort what was cancelled or taken over; measure how late the loop wakes."""
    while True:
        due = time.monotonic() + WATCH_SECONDS
        await asyncio.sleep(WATCH_SECONDS)
        metrics.loop_lag(max(0.0, time.monotonic() - due))
        held = steps.held
        if not held:
            continue
        try:
            steps.abort(await life.lease.lost(held), "lost")
        except OUTAGE:
            continue
