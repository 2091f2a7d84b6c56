"""The whole product as a user starts it, and the simulated vendors, for measuring from outside."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY = "bench-key-of-no-worth-0123456789"


@dataclass(frozen=True)
class Vendors:
    """The simulated vendors, in their own process."""

    pid: int
    base: str
    latency_ms: float

    @property
    def environment(self) -> dict[str, str]:
        """What points the real SDKs at them."""
        return {
            "ANTHROPIC_BASE_URL": f"{self.base}/anthropic",
            "OPENAI_BASE_URL": f"{self.base}/openai/v1",
            "GOOGLE_GEMINI_BASE_URL": f"{self.base}/google",
            "ANTHROPIC_API_KEY": "bench",
            "OPENAI_API_KEY": "bench",
            "GEMINI_API_KEY": "bench",
        }

    def calls(self) -> list[dict[str, Any]]:
        """All requests so far, over all vendors, by arrival."""
        found = [call for calls in self.ask("GET", "/calls").values() for call in calls]
        return sorted(found, key=lambda call: call["at"])

    def forget(self) -> None:
        self.ask("DELETE", "/calls")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return request_json(method, self.base + path, body)


@contextmanager
def vendors(latency_ms: float) -> Iterator[Vendors]:
    command = [sys.executable, "-m", "tests.fakes", "--port", "0", "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = dict(word.split("=", 1) for word in process.stdout.readline().split())
        yield Vendors(process.pid, told["ANTHROPIC_BASE_URL"].removesuffix("/anthropic"), latency_ms)
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Service:
    """A running `manage.py up`. `url` has no trailing slash."""

    pid: int
    url: str
    data_dir: Path
    postgres: bool

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return request_json(method, self.url + path, body, {"Authorization": f"Bearer {KEY}"})

    def processes(self) -> dict[str, list[int]]:
        """Process ids by role: web, voice, worker, postgres, valkey, supervisor."""
        found: dict[str, list[int]] = {}
        for pid in _family(self.pid):
            found.setdefault(_role(pid), []).append(pid)
        return found


@contextmanager
def service(port: int, workers: int, environment: Mapping[str, str]) -> Iterator[Service]:
    """Start the product in a data directory of its own, with embedded servers unless they are given."""
    data_dir = Path(tempfile.mkdtemp(prefix="mesh-bench-"))
    data_dir.chmod(0o711)
    log = (data_dir / "up.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--workers", str(workers)],
        env={
            **os.environ,
            **environment,
            "PORT": str(port),
            "PUBLIC_BASE_URL": f"http://localhost:{port}",
            "MESH_DATA_DIR": str(data_dir),
            "MESH_API_KEY": KEY,
            "MESH_RATE_LIMIT_PER_MINUTE": "1000000",
            "MESH_LOG_LEVEL": "WARNING",
        },
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    running = Service(process.pid, f"http://localhost:{port}", data_dir, "DATABASE_URL" not in os.environ)
    try:
        _await_workers(running, process, workers)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        log.close()


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes so far."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def request_json(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json", **(headers or {})}, method=method
    )
    with urllib.request.urlopen(request, timeout=90) as answer:
        content = answer.read()
        return json.loads(content) if content else None


def _await_workers(running: Service, process: "subprocess.Popen[bytes]", workers: int) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            health = running.ask("GET", "/api/mesh/health")
            if health["workers"]["alive"] >= workers:
                return
        except (OSError, urllib.error.URLError, KeyError, TypeError):
            pass
        time.sleep(0.2)
    raise RuntimeError((running.data_dir / "up.log").read_text()[-3000:])


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    family = [pid]
    for member in family:
        family.extend(child for child, parent in parents.items() if parent == member)
    return family


def _role(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "gone"
    for mark, role in (
        ("uvicorn", "web"),
        ("manage.py voice", "voice"),
        ("celery", "worker"),
        ("postgres", "postgres"),
        ("valkey", "valkey"),
    ):
        if mark in words:
            return role
    return "redis" if "redis" in words else "supervisor"
