"""The worker's own connection pool: asynchronous, small, never held across a model call."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

Connection = AsyncConnection[Any]


async def _configure(connection: Connection) -> None:
    set_json_dumps(orjson.dumps, context=connection)
    set_json_loads(orjson.loads, context=connection)
    await connection.set_autocommit(True)


def make_pool(
    conninfo: str, *, size: int = 6, prepare: Callable[[Connection], Awaitable[None]] | None = None
) -> AsyncConnectionPool[Connection]:
    """Return a closed pool; open it on the loop that will use it. `prepare` is run on each new connection."""

    async def configure(connection: Connection) -> None:
        await _configure(connection)
        if prepare is not None:
            await prepare(connection)

    return AsyncConnectionPool(
        conninfo,
        min_size=size,
        max_size=size,
        timeout=10,
        reconnect_timeout=60,
        configure=configure,
        open=False,
        name="engine",
        kwargs={
            "connect_timeout": 3,
            "application_name": "mesh-worker",
            "prepare_threshold": 0,
            # The statements are large and always the same: planning them anew costs more than running them.
            "options": "-c plan_cache_mode=force_generic_plan -c jit=off",
        },
    )


@asynccontextmanager
async def pipelined(pool: AsyncConnectionPool[Connection]) -> AsyncGenerator[Connection, None]:
    """One transaction whose statements travel together; a round trip is paid at each fetch and at the end.

    An error of a statement that nobody fetched is raised at the end, and nothing is committed: the server takes
    no command after an error, and the pool rolls back what comes back open.
    """
    async with pool.connection() as connection, connection.pipeline():
        await connection.execute(b"BEGIN", prepare=False)
        yield connection
        await connection.execute(b"COMMIT", prepare=False)
