"""Writes that must not be lost: tried again while the database is away."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import structlog
from psycopg_pool import PoolTimeout

log = structlog.get_logger(__name__)
T = TypeVar("T")

OUTAGE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)


async def persist(write: Callable[[], Awaitable[T]], what: str) -> T:
    """Run a write until the database takes it. Errors other than an outage are raised.

    The write must be safe to repeat: a commit whose answer was lost is made again.
    """
    pause = 0.1
    while True:
        try:
            return await write()
        except OUTAGE as error:
            log.warning("database away, keeping a write", what=what, error=str(error)[:200], retry_in=pause)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, 2.0)
