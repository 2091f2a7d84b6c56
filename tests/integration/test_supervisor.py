"""`manage.py up` as a user runs it: embedded servers, web and a worker, from start to Ctrl-C."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from meshsite.embedded_home import resolve_home
from tests.integration.processes import ROOT, alive, until


class Service:
    """One `manage.py up` and what it has printed."""

    def __init__(self, data_dir: Path, *arguments: str, port: int | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        inherited = {
            name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
        }
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--workers", "1", *arguments],
            cwd=ROOT,
            env=inherited
            | {
                "MESH_DATA_DIR": str(data_dir),
                "PORT": str(self.port),
                "DJANGO_SETTINGS_MODULE": "meshsite.settings",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        until(lambda: re.search(pattern, self.text) or self.process.poll() is not None, pattern, seconds=90)
        found = re.search(pattern, self.text)
        assert found, self.text
        return found

    def processes(self) -> list[psutil.Process]:
        """Everything below the supervisor, servers included."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        [found] = [p for p in psutil.Process(self.process.pid).children() if word in " ".join(p.cmdline())]
        return found

    def wait_ended(self) -> int:
        code = self.process.wait(60)
        self._reader.join(10)
        return code


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def assert_gone(processes: list[psutil.Process]) -> None:
    until(lambda: not any(alive(process.pid) for process in processes), "nothing is left running")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="mesh-test-"))
    folder.chmod(0o711)
    service = Service(folder)
    yield service
    service.process.send_signal(signal.SIGTERM)
    service.wait_ended()
    shutil.rmtree(folder, ignore_errors=True)


def test_it_prints_a_call_that_works_when_pasted(service: Service) -> None:
    command = service.wait_for(r"\| (curl .*)\n")[1]
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["status"] == "in_progress"


def test_it_keeps_its_secrets_to_itself(service: Service) -> None:
    service.wait_for("is ready")
    for name in ("secret_key", "encryption_key", "api_key", "admin_password"):
        assert (service.data_dir / name).stat().st_mode & 0o777 == 0o600


def test_it_restarts_a_killed_worker_in_its_slot(service: Service) -> None:
    service.wait_for("is ready")
    before = service.child("worker-1@")
    before.kill()
    service.wait_for(r"worker-1 \| ended \(killed by SIGKILL\); starts again")
    until(
        lambda: any("worker-1@" in " ".join(p.cmdline()) for p in service.processes() if p.pid != before.pid),
        "another worker-1",
    )


def test_it_starts_a_killed_database_again(service: Service) -> None:
    service.wait_for("is ready")
    pid_file = resolve_home(service.data_dir)[0] / "cluster" / "postmaster.pid"
    os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGKILL)
    service.wait_for("postgresql ended")

    def ready() -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{service.port}/readyz", timeout=5).status == 200
        except OSError:
            return False

    until(ready, "the web has its database again")


def test_it_says_when_the_port_is_taken(service: Service, data_dir: Path) -> None:
    service.wait_for("is ready")
    second = Service(data_dir, port=service.port)
    assert second.wait_ended() == 1
    assert f"Cannot listen on 127.0.0.1:{service.port}" in second.text


def test_it_refuses_a_data_directory_in_use(service: Service) -> None:
    service.wait_for("is ready")
    second = Service(service.data_dir)
    assert second.wait_ended() == 1
    assert "is in use by another start" in second.text


def test_it_leaves_no_process_after_ctrl_c(data_dir: Path) -> None:
    service = Service(data_dir, "--no-web")
    service.wait_for("is ready")
    processes = service.processes()
    service.process.send_signal(signal.SIGINT)
    assert service.wait_ended() == 0
    assert_gone(processes)
    assert service.lines[-1].endswith("stopped\n")


def test_it_leaves_no_process_when_it_is_killed(data_dir: Path) -> None:
    service = Service(data_dir, "--no-web")
    service.wait_for("is ready")
    processes = service.processes()
    assert len(processes) > 3
    service.process.kill()
    service.wait_ended()
    assert_gone(processes)
