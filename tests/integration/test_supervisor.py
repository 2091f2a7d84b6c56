"""`manage.py up` as a user runs it: embedded servers, web and a worker, from start to Ctrl-C."""

import asyncio
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
from websockets.asyncio.client import connect

from meshsite.embedded_home import resolve_home
from tests.fakes.caller.carrier import Carrier, signature
from tests.integration.lines_world import NUMBER as DEMO_NUMBER
from tests.integration.lines_world import media, start
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
    for name in ("secret_key", "encryption_key", "api_key", "admin_password", "twilio_auth_token"):
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


def test_it_ends_voice_processes_after_their_calls_and_before_the_rest(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_VOICE", "separate")
    monkeypatch.setenv("MESH_VOICE_PROCESSES", "2")
    port = free_port()
    monkeypatch.setenv("MESH_VOICE_PORT", str(port))
    service = Service(data_dir)
    service.wait_for(r"voice-1 +\| .*voice ready")
    service.wait_for(r"voice-2 +\| .*voice ready")
    service.wait_for("is ready")
    processes = service.processes()
    try:
        asyncio.run(_call_through_the_end(service))
    except BaseException:
        service.process.kill()  # everything below it dies with it
        raise
    assert service.wait_ended() == 0
    assert_gone(processes)
    assert service.text.index("voice drained") < service.text.index("worker drained")
    assert "Traceback" not in service.text


def test_it_ends_the_web_process_after_the_calls_in_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_VOICE", "inline")
    service = Service(data_dir)
    service.wait_for("is ready")
    try:
        asyncio.run(_call_through_the_end(service))
    except BaseException:
        service.process.kill()  # everything below it dies with it
        raise
    assert service.wait_ended() == 0
    assert re.search("voice drained .*calls_left=0", service.text)
    assert "Traceback" not in service.text


async def _call_through_the_end(service: Service) -> None:
    """Call in, have the service asked to stop, and go on talking."""
    base = f"http://localhost:{service.port}"
    token = (service.data_dir / "twilio_auth_token").read_text().strip()
    carrier = Carrier(base, token)
    sid = "CA" + "1" * 32
    url = (await carrier.ring(sid, DEMO_NUMBER, "+15005550001")).stream
    await carrier.aclose()
    headers = {"X-Twilio-Signature": signature(token, url)}
    async with connect(url, additional_headers=headers, compression=None) as stream:
        await stream.send(start(sid))
        assert json.loads(await stream.recv())["event"] in ("media", "mark")  # the greeting
        service.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(service.wait_for, "voice drains .*calls=1")
        for number in range(1, 26):
            await stream.send(media(b"\xff" * 160, number))
        while json.loads(await stream.recv())["event"] != "media":
            pass
        assert service.process.poll() is None
        await stream.send('{"event":"stop"}')
