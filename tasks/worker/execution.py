"""One claimed step from its executor to its finish, whatever happens on the way."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from agents.resilience.gateway import ModelGateway
from tasks import metrics
from tasks.engine.executor import EXECUTORS
from tasks.engine.executors.structured import failed_step
from tasks.engine.ports import BudgetReached, LeaseLost, StepFailed
from tasks.store.claim import Claimed
from tasks.store.finish import TERMINAL, Finished, StepEnd
from tasks.store.journal import Journal
from tasks.store.release import Release, release

from . import hints
from .incarnation import Incarnation
from .persist import OUTAGE, persist
from .session import StepSession

log = structlog.get_logger(__name__)

BUDGET_CHECK_SECONDS = 2.0


class Notify(Protocol):
    """Tells watchers that a run has news; never blocks, never raises."""

    def __call__(self, run_id: str) -> None: ...


class Slots(Protocol):
    """The worker's places for steps, as a step that ends sees them."""

    def next_free(self) -> int:
        """How many steps may be claimed with this one's finish; its own place counts as free."""
        ...

    def look_again(self) -> None:
        """There is work in the queue."""
        ...


class Execution:
    """A step in hand. `run` returns how it went and the steps that were claimed with its finish."""

    def __init__(
        self, claimed: Claimed, life: Incarnation, gateway: ModelGateway, slots: Slots, notify: Notify
    ) -> None:
        self.claimed = claimed
        self.life = life
        self.fence = claimed.work.fence
        self.job: asyncio.Task[None] | None = None
        self._gateway = gateway
        self._slots = slots
        self._notify = notify
        self._aborted = ""
        self._writing = False

    def abort(self, reason: str) -> None:
        """Cancel the step's work in flight. A finish that is being written is not disturbed."""
        self._aborted = reason
        if self.job is not None and not self._writing:
            self.job.cancel()

    async def run(self) -> tuple[str, Sequence[str]]:
        if self.claimed.seconds_left is not None and self.claimed.seconds_left <= 0:
            return "overdue", ()  # the sweeper ends it, or its run, at its next turn
        try:
            journal = Journal()
            if self.fence > 1:
                journal = await persist(
                    lambda: self.life.journal.read(self.claimed.work.id, self.claimed.releases), "journal"
                )
            session = StepSession(self.claimed, journal, self.life.journal, self.life.reads, self._gateway)
            try:
                ending = await self._execute(session)
            except asyncio.CancelledError:
                if self._aborted and self.job is not None:
                    self.job.uncancel()
                await self._keep(session)
                if self._aborted == "hand_over":
                    await self._release(Release(*self._names(), detail="handed over"))
                    return "handed_over", ()
                if self._aborted == "lost":
                    return "stale", ()
                raise
            except LeaseLost:
                await self._keep(session)
                return "stale", ()
        except asyncio.CancelledError:
            if self._aborted:
                return "stale", ()
            raise
        self._writing = True
        if isinstance(ending, Release):
            await self._keep(session)
            await self._release(ending)
            return "released", ()
        return await self._finish(ending, session)

    async def _execute(self, session: StepSession) -> StepEnd | Release:
        """Run the executor and say how the step ends, or why it goes back."""
        work = self.claimed.work
        try:
            result = await EXECUTORS[work.kind](work, session)
        except BudgetReached:
            return self._back("budget", BUDGET_CHECK_SECONDS, "the run has reached its budget")
        except ChainUnavailable as error:
            reason = "rate_limit" if error.category is Failure.RATE_LIMITED else "provider"
            return self._back(reason, error.retry_after or 5.0, str(error))
        except ProviderError as error:
            return self._failed(failed_step(error), session)
        except StepFailed as error:
            return self._failed(error, session)
        except (LeaseLost, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("an executor failed", kind=work.kind)
            return self._failed(StepFailed("internal_error", f"{type(error).__name__}: {error}"), session)
        return StepEnd(
            *self._names()[:3],
            state="succeeded",
            worker=self.life.owner,
            output=result.output,
            memories=result.memories,
            events=(*session.events, *result.events),
            settle=session.held,
        )

    async def _finish(self, end: StepEnd, session: StepSession) -> tuple[str, Sequence[str]]:
        try:
            finished = await persist(
                lambda: self.life.finish.finish(end, free_slots=self._slots.next_free()), "finish"
            )
        except OUTAGE:
            raise
        except Exception as error:
            # A planner or a value that cannot be stored: keep the reply, and fail the step loudly.
            log.exception("a finish failed", kind=self.claimed.work.kind)
            await self._keep(session)
            broken = self._failed(StepFailed("internal_error", f"{type(error).__name__}: {error}"), None)
            finished = await persist(lambda: self.life.finish.finish(broken), "finish")
        if finished.stale:
            return "stale", ()
        self._announce(finished)
        return end.state, finished.claimed

    def _announce(self, finished: Finished) -> None:
        run_id = self.claimed.work.run_id
        metrics.events_appended(finished.events)
        if finished.ready and self._slots.next_free() > 1:
            self._slots.look_again()  # room here: no message
        else:
            for kind, step_id in finished.ready:
                hints.publish(kind, step_id, run_id)
        if finished.run_state in TERMINAL:
            metrics.run_finished(finished.run_state, finished.planner, finished.run_seconds)
            log.info("run ended", state=finished.run_state, seconds=round(finished.run_seconds, 3))
        self._notify(run_id)

    async def _release(self, what: Release) -> None:
        if await persist(lambda: release(self.life.pool, what), "release"):
            log.info(
                "step gave its slot back",
                reason=what.reason or "drain",
                seconds=what.seconds,
                why=what.detail[:200],
            )
            if what.seconds is None:
                hints.publish(self.claimed.work.kind, what.step_id, what.run_id)
            self._notify(what.run_id)

    async def _keep(self, session: StepSession) -> None:
        """Commit a reply that is held back, though its step ends otherwise."""
        self._writing = True
        await session.flush()

    def _failed(self, error: StepFailed, session: StepSession | None) -> StepEnd:
        log.warning("step failed", code=error.code, why=str(error)[:300])
        return StepEnd(
            *self._names()[:3],
            state="failed",
            worker=self.life.owner,
            error_code=error.code,
            error_detail=str(error),
            events=tuple(session.events) if session else (),
            settle=session.held if session else None,
        )

    def _back(self, reason: str, seconds: float, detail: str) -> Release:
        return Release(*self._names(), reason=reason, seconds=seconds, detail=detail)

    def _names(self) -> tuple[str, str, int, str]:
        work = self.claimed.work
        return work.id, work.run_id, work.fence, self.life.owner
