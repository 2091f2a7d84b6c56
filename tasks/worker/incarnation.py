"""One life of a worker slot: its name in the database and the stores that write under it."""

from psycopg_pool import AsyncConnectionPool

from tasks.engine.delegation import DelegationPlanner
from tasks.store.claim import ClaimStore
from tasks.store.finish import FinishStore
from tasks.store.journal import JournalStore
from tasks.store.lease import LeaseStore
from tasks.store.pool import Connection
from tasks.store.reading import ReadStore
from tasks.store.sweep import SweepStore

PLANNERS = {"delegation": DelegationPlanner()}


class Incarnation:
    def __init__(self, pool: AsyncConnectionPool[Connection], slot: str, ttl: float) -> None:
        self.pool = pool
        self.lease = LeaseStore(pool, slot, ttl)
        self.owner = self.lease.owner
        self.claims = ClaimStore(pool, self.owner)
        self.journal = JournalStore(pool, self.owner)
        self.finish = FinishStore(pool, self.owner, PLANNERS)
        self.reads = ReadStore(pool)
        self.sweep = SweepStore(pool, self.lease, self.finish)
