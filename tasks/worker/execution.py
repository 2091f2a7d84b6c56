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
from tasks.engine.ports import BudgetReached, LeaseLost, PersonNeeded, StepFailed, StepResult
from tasks.engine.scope import node_of
from tasks.store.claim import Claimed
from tasks.store.finish import TERMINAL, Finished, StepEnd
from tasks.store.journal import Journal
from tasks.store.loading import Loading
from tasks.store.pausing import Pause, Paused, pausing
from tasks.store.release import Release, release
from tasks.store.work import transact

from . import hints
from .incarnation import Incarnation
from .persist import OUTAGE, persist
from .session import StepSession

log = structlog.get_logger(__name__)

BUDGET_CHECK_SECONDS = 2.0


class Notify(Protocol):
    """Tells watchers that a run has news; never blocks, never raises."""

    def __call__(self, run_id: str, *, ended: bool = False) -> None: ...


class Slots(Protocol):
    """The worker's places for steps, as a step that ends sees them."""

    def next_free(self) -> int:
        """How many steps may be claimed with this one's finish; its own place counts as free."""
        ...

    def look_again(self) -> None:
        """There is work in the queue."""
        ...

    def alone(self) -> bool:
        """Whether no other step is in hand."""
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

    async def run(self) -> tuple[str, Sequence[Loading]]:
        if self.claimed.seconds_left is not None and self.claimed.seconds_left <= 0:
            return "overdue", ()  # the sweeper ends it, or its run, at its next turn
        try:
            journal = Journal()
            if self.fence > 1:
                journal = await persist(
                    lambda: self.life.journal.read(self.claimed.work.id, self.claimed.releases), "journal"
                )
            session = StepSession(self.claimed, journal, self.life, self._gateway, self._slots.alone)
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
        if isinstance(ending, Pause):
            await self._keep(session)
            return await self._pause(ending), ()
        return await self._finish(ending, session)

    async def _execute(self, session: StepSession) -> StepEnd | Release | Pause:
        """Run the executor and say how the step ends, why it goes back, or what it waits for."""
        work = self.claimed.work
        limit = asyncio.timeout(self._own_seconds())
        try:
            async with limit:
                result = await EXECUTORS[work.kind](work, session)
        except PersonNeeded as needed:
            return Pause(*self._names(), wait=needed.approval, events=session.opening())
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
            if limit.expired():
                late = StepFailed("timeout", "It was not done within its time.", final=session.unsure)
                return self._failed(late, session)
            log.exception("an executor failed", kind=work.kind)
            return self._failed(StepFailed("internal_error", f"{type(error).__name__}: {error}"), session)
        if not isinstance(result, StepResult):
            return Pause(*self._names(), wait=result, events=session.opening())
        graph = work.snapshot.graph is not None
        return StepEnd(
            *self._names()[:3],
            state="succeeded",
            worker=self.life.owner,
            output=result.output,
            memories=result.memories,
            events=(*session.opening(), *result.events),
            settle=session.held,
            input=result.input,
            writes=result.writes,
            taken=result.taken if graph else None,
            run_input=work.run_input,
        )

    async def _finish(self, end: StepEnd, session: StepSession) -> tuple[str, Sequence[Loading]]:
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
            broken = self._end_failed(StepFailed("internal_error", f"{type(error).__name__}: {error}"), None)
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
        ended = finished.run_state in TERMINAL
        if ended:
            metrics.run_finished(finished.run_state, finished.planner, finished.run_seconds)
            log.info("run ended", state=finished.run_state, seconds=round(finished.run_seconds, 3))
        self._notify(run_id, ended=ended)

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

    def _own_seconds(self) -> float | None:
        """What a workflow's node gives its steps; others are ended by the sweeper, which knows what follows."""
        return self.claimed.step_seconds if self.claimed.work.snapshot.graph is not None else None

    def _failed(self, error: StepFailed, session: StepSession | None) -> StepEnd | Release:
        log.warning("step failed", code=error.code, why=str(error)[:300])
        if session is not None and not error.final and (again := self._again(error, session)):
            return again
        return self._end_failed(error, session)

    def _again(self, error: StepFailed, session: StepSession) -> Release | None:
        """The next try of a workflow's step, if its node has one left."""
        work = self.claimed.work
        if work.snapshot.graph is None:
            return None
        _, node = node_of(work)
        if work.tries >= int(node.config.get("retries", 0)):
            return None
        seconds = float(node.config.get("backoff_seconds", 1.0)) * 2**work.tries
        told = {
            "reason": "failed",
            "code": error.code,
            "detail": str(error)[:300],
            "try": work.tries + 1,
            "seconds": seconds,
            "key": work.key,
            "kind": work.kind,
        }
        return Release(
            *self._names(),
            reason="retry",
            seconds=seconds,
            detail=str(error),
            failed=True,
            deadline_seconds=node.config.get("timeout_seconds"),
            events=(*session.opening(), ("step.retried", told)),
        )

    async def _pause(self, pause: Pause) -> str:
        paused: Paused = await persist(lambda: transact(self.life.pool, pausing(pause)), "pause")
        if paused.stale:
            return "stale"
        log.info("step waits", approval_id=paused.approval_id or None)
        for kind, step_id in paused.ready:
            hints.publish(kind, step_id, pause.run_id)
        self._notify(pause.run_id)
        return "waiting"

    def _end_failed(self, error: StepFailed, session: StepSession | None) -> StepEnd:
        return StepEnd(
            *self._names()[:3],
            state="failed",
            worker=self.life.owner,
            error_code=error.code,
            error_detail=str(error),
            events=tuple(session.opening()) if session else (),
            settle=session.held if session else None,
            run_input=self.claimed.work.run_input,
        )

    def _back(self, reason: str, seconds: float, detail: str) -> Release:
        return Release(*self._names(), reason=reason, seconds=seconds, detail=detail)

    def _names(self) -> tuple[str, str, int, str]:
        work = self.claimed.work
        return work.id, work.run_id, work.fence, self.life.owner
