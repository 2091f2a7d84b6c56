"""Writes that must not be lost: tried again while the database is away."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

log = structlog.get_logger(__name__)
T = TypeVar("T")

OUTAGE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)


async def persist(write: Callable[[], Awaitable[T]], what: str) -> T:
    """Run a write until the database takes it. Errors other than an outage are raised.

    The write must be safe to repeat: a commit whose answer was lost is made again.
    """
    try:
        return await write()
    except OUTAGE as error:
        log.warning("database away, keeping a write", what=what, error=str(error)[:200])

    def complain(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning(
            "database away, keeping a write", what=what, tries=state.attempt_number, error=str(error)[:200]
        )

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(OUTAGE),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        before_sleep=complain,
    )
    async for attempt in retrying:
        with attempt:
            return await write()
    raise AssertionError("it retries until it returns or raises")
