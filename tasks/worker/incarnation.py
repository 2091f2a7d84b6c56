"""One life of a worker slot: its name in the database and the stores that write under it."""

from psycopg_pool import AsyncConnectionPool

from agents.tools.base import Surroundings
from tasks.store.claim import ClaimStore
from tasks.store.finish import FinishStore
from tasks.store.journal import JournalStore
from tasks.store.lease import LeaseStore
from tasks.store.pool import Connection
from tasks.store.reading import ReadStore
from tasks.store.snapshots import Snapshots
from tasks.store.sweep import SweepStore
from tasks.store.tool_journal import ToolJournal

from .surroundings import make_surroundings


class Incarnation:
    def __init__(
        self, pool: AsyncConnectionPool[Connection], slot: str, ttl: float, tools: Surroundings | None = None
    ) -> None:
        self.pool = pool
        self.tools = tools or make_surroundings(pool)
        self.tool_journal = ToolJournal(pool)
        self.lease = LeaseStore(pool, slot, ttl)
        self.owner = self.lease.owner
        self.snapshots = Snapshots()
        self.claims = ClaimStore(pool, self.owner, self.snapshots)
        self.journal = JournalStore(pool, self.owner)
        self.finish = FinishStore(pool, self.owner, self.snapshots)
        self.reads = ReadStore(pool)
        self.sweep = SweepStore(pool, self.lease, self.finish, self.snapshots)
