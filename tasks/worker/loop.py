"""Claiming steps and executing them as coroutines, as many at once as there are slots."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog
from structlog.contextvars import bound_contextvars

from agents.resilience.gateway import ModelGateway
from tasks import metrics
from tasks.engine import crash
from tasks.store.claim import Claimed
from tasks.store.loading import Loading

from .execution import Execution, Notify
from .flower import StepEvents
from .incarnation import Incarnation
from .persist import OUTAGE

log = structlog.get_logger(__name__)

CLAIM_BATCH = 32


class StepLoop:
    """Holds up to `slots` steps. `wake()` may be called from any thread."""

    def __init__(
        self, gateway: ModelGateway, notify: Notify, shown: StepEvents, *, slots: int, poll_seconds: float
    ) -> None:
        self.slots = slots
        self.claiming = True
        self.stale_writes = 0
        self._gateway = gateway
        self._notify = notify
        self._shown = shown
        self._poll = poll_seconds
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._running: dict[str, Execution] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def free(self) -> int:
        return self.slots - len(self._running)

    @property
    def held(self) -> list[tuple[str, int]]:
        """The (step id, fence) pairs in hand."""
        return [(id_, execution.fence) for id_, execution in self._running.items()]

    def wake(self) -> None:
        """Say that there may be work."""
        self._loop.call_soon_threadsafe(self._wake.set)

    def next_free(self) -> int:
        """How many steps may be claimed with a finish; the ending step's place counts as free."""
        return self.free + 1 if self.claiming else 0

    def look_again(self) -> None:
        """There is work in the queue. On the loop's own thread only."""
        self._wake.set()

    def alone(self) -> bool:
        """Whether one step is in hand."""
        return len(self._running) == 1

    async def claim_forever(self, life: Incarnation) -> None:
        """Claim whenever woken or polled, until cancelled."""
        while True:
            self._wake.clear()
            with suppress(*OUTAGE):
                while self.claiming and self.free > 0:
                    claimed = await life.claims.claim(min(CLAIM_BATCH, self.free))
                    if claimed:
                        crash.point(crash.CLAIMED)
                    self.start(claimed, life)
                    if len(claimed) < CLAIM_BATCH:
                        break
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._poll)

    def start(self, claimed: Sequence[Claimed], life: Incarnation) -> None:
        if claimed:
            metrics.claimed(len(claimed))
        for item in claimed:
            if former := self._running.get(item.work.id):
                former.abort("lost")  # we were taken for dead, and have won the step again
            execution = Execution(item, life, self._gateway, self, self._notify)
            self._running[item.work.id] = execution
            self._idle.clear()
            job = self._loop.create_task(self._run(execution), name=f"{item.work.kind} {item.work.id}")
            execution.job = job
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)
        metrics.steps_in_flight(len(self._running))

    async def _run(self, execution: Execution) -> None:
        work = execution.claimed.work
        began = time.monotonic()
        following: Sequence[Loading] = ()
        outcome = "aborted"
        self._shown.started(work.id, work.kind, work.label, work.run_id)
        try:
            with bound_contextvars(
                run_id=work.run_id, step_id=work.id, request_id=execution.claimed.request_id or None
            ):
                try:
                    outcome, following = await execution.run()
                except Exception:
                    # The step stays ours by name only; the sweeper gives it back, and three times is enough.
                    log.exception("a step's bookkeeping failed", kind=work.kind)
        finally:
            if self._running.get(work.id) is execution:
                del self._running[work.id]
            if outcome == "stale":
                self.stale_writes += 1
                metrics.stale_write()
            seconds = time.monotonic() - began
            metrics.step_finished(work.kind, outcome, seconds, execution.claimed.queued_seconds)
            if outcome == "succeeded":
                self._shown.succeeded(work.id, seconds, work.label)
            else:
                self._shown.failed(work.id, outcome)
            metrics.steps_in_flight(len(self._running))
            if not self._running:
                self._idle.set()
        if following:
            await self._go_on(following, execution.life)
        elif self.claiming and self.free == 1:  # it was full: there may be a queue
            self.look_again()

    async def _go_on(self, steps: Sequence[Loading], life: Incarnation) -> None:
        """Start the steps that were claimed together with a finish."""
        with suppress(*OUTAGE):  # the lease gives them back if this fails
            self.start(await life.claims.loaded(steps), life)

    def abort(self, step_ids: Sequence[str], reason: str) -> None:
        """Abort steps in hand: `lost` (nothing more is written) or `hand_over` (they go back to the queue)."""
        for step_id in step_ids:
            execution = self._running.get(step_id)
            if execution is not None:
                execution.abort(reason)

    async def drain(self, seconds: float) -> None:
        """Stop claiming, let the steps in hand end for that long, then hand the rest over."""
        self.claiming = False
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
        self.abort(list(self._running), "hand_over")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), 5)
