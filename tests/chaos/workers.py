"""Real Celery workers as processes of their own, to be killed, stopped, continued and sent away."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from meshsite import tether

LEASE_SECONDS = 3.0
SWEEP_SECONDS = 0.5
COMMAND = [
    *(sys.executable, "-m", "celery", "--app", "meshsite", "worker", "--queues", "steps"),
    *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
]


class WorkerProcess:
    """One life of a worker slot. It ends with the test process, whatever happens."""

    def __init__(self, slot: str, env: Mapping[str, str], log: Path) -> None:
        self.slot = slot
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                tether.argv(COMMAND, on_death=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **env, "MESH_SLOT": slot},
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        if self.alive:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def says(self, words: str) -> int:
        """How often its log says this."""
        return self.log.read_text(errors="replace").count(words)

    def cpu_seconds(self) -> float:
        """CPU time used so far, all threads, in user and system mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tail(self, lines: int = 25) -> str:
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- {self.slot} (pid {self.pid})", *text])
