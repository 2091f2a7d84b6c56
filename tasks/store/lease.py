"""A worker incarnation's lease, and the lock that proves its slot is its own."""

import os
import socket
import zlib
from collections.abc import Sequence

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from web.ids import new_id

from . import sql
from .pool import Connection


class LeaseStore:
    """One incarnation of one slot. `owner` names it in every step it holds."""

    def __init__(self, pool: AsyncConnectionPool[Connection], slot: str, ttl: float) -> None:
        self._pool = pool
        self.slot = slot
        self.ttl = ttl
        self.owner = new_id("worker")
        self.slot_held = False
        self._guard: AsyncConnection[tuple[int]] | None = None

    async def register(self) -> None:
        """Write this incarnation down and try to take its slot."""
        async with self._pool.connection() as connection:
            await connection.execute(
                sql.REGISTER_WORKER,
                {
                    "id": self.owner,
                    "slot": self.slot,
                    "host": socket.gethostname()[:100],
                    "pid": os.getpid(),
                    "ttl": self.ttl,
                },
            )
        await self.hold_slot()

    async def hold_slot(self) -> bool:
        """Take the slot's advisory lock if it is free.

        Whoever holds it knows that older incarnations of the slot are dead, and takes back their steps
        without waiting for the lease. The lock lives as long as its own connection does.
        """
        if self._guard is not None and not self._guard.closed:
            try:
                await self._guard.execute("SELECT 1")
            except Exception:
                await self._guard.close()
            else:
                return self.slot_held
        self.slot_held = False
        self._guard = await AsyncConnection.connect(
            str(self._pool.conninfo), autocommit=True, connect_timeout=3
        )
        cursor = await self._guard.execute(
            "SELECT pg_try_advisory_lock(%s, %s)",
            (zlib.crc32(b"mesh slot") - 2**31, zlib.crc32(self.slot.encode()) - 2**31),
        )
        row = await cursor.fetchone()
        self.slot_held = bool(row and row[0])
        if not self.slot_held:
            await self._guard.close()
        return self.slot_held

    async def renew(self, *, draining: bool, stale_writes: int) -> bool:
        """Renew the lease; False when this incarnation was given up by the others."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                sql.RENEW_LEASE,
                {"id": self.owner, "ttl": self.ttl, "draining": draining, "stale": stale_writes},
            )
            return cursor.rowcount == 1

    async def lost(self, held: Sequence[tuple[str, int]]) -> list[str]:
        """Return those of the held (step, fence) pairs that are no longer ours: cancelled or taken."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                sql.LOST_STEPS,
                {"held": Jsonb([{"id": id_, "fence": fence} for id_, fence in held]), "owner": self.owner},
            )
            return [row[0] for row in await cursor.fetchall()]

    async def resign(self) -> None:
        """Leave: the row goes, and so does the slot's lock."""
        async with self._pool.connection() as connection:
            await connection.execute("DELETE FROM tasks_worker WHERE id = %s", (self.owner,))
        await self.let_go()

    async def let_go(self) -> None:
        """Give the slot's lock back, for this process's next incarnation or another one."""
        self.slot_held = False
        if self._guard is not None:
            await self._guard.close()
