"""What `manage.py up` needs before, between and after starting its children."""

import asyncio
import base64
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meshsite import settings
from meshsite.children import Program
from meshsite.embedded import EmbeddedServers

FLOWER_HOST = "127.0.0.1"


class CannotStart(Exception):
    """The service cannot start; the message says why and what to do."""


def check_port(host: str, port: int) -> None:
    """Fail before anything long begins when the web could not listen."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web itself will
                probe.bind(address)
                probe.listen()
    except OSError as error:
        raise CannotStart(
            f"Cannot listen on {host}:{port} ({error.strerror}). "
            f"Stop what uses it, or choose another: make run PORT={port + 1}"
        ) from error


def make_secrets(data_dir: Path) -> None:
    """Make the keys that settings look for there, once, readable for their owner only."""
    data_dir.mkdir(parents=True, exist_ok=True)
    if not os.environ.get("DJANGO_SECRET_KEY"):
        write_secret(data_dir / "secret_key", secrets.token_urlsafe(50))
    if not settings.MESH_ENCRYPTION_KEY:
        write_secret(data_dir / "encryption_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    if not os.environ.get("TWILIO_AUTH_TOKEN") and not settings.TWILIO["auth_token"]:
        write_secret(data_dir / "twilio_auth_token", secrets.token_hex(16))


def write_secret(path: Path, value: str, *, replace: bool = False) -> str:
    """Keep `value` in `path` (0600) unless there is one already; returns what is kept there.

    Written aside and put in place whole, so that nobody ever reads half of it.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(value)
    try:
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text().strip()


def prepare_environment(servers: EmbeddedServers | None) -> None:
    """Tell the children where everything is; settings read it from the environment."""
    environment = os.environ
    if servers and not settings.DATABASE_URL:
        environment["DATABASE_URL"] = servers.database_url
    if servers and settings.EMBEDDED_REDIS:
        environment["REDIS_URL"] = servers.redis_url
    metrics = settings.DATA_DIR / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)  # numbers of processes that are gone
    metrics.mkdir()
    settings.STATIC_ROOT.mkdir(exist_ok=True)  # WhiteNoise warns without; files come from the apps
    environment["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    environment["PYTHONUNBUFFERED"] = "1"
    environment.setdefault("MESH_LOG_FORMAT", "console")
    if settings.FLOWER:
        environment["MESH_FLOWER_EVENTS"] = "1"


def setup_program() -> Program:
    return Program("setup", [sys.executable, str(settings.BASE_DIR / "manage.py"), "bootstrap", "--json"])


def programs(*, workers: int, web: bool) -> Iterator[Program]:
    """The children, in the order in which they start."""
    if web:
        address = ["--host", settings.HOST, "--port", str(settings.PORT)]
        # Open streams may not hold up the end.
        manners = [
            "--lifespan",
            "on",
            "--no-server-header",
            "--timeout-graceful-shutdown",
            "20",
            "--timeout-keep-alive",
            "75",
            "--ws-per-message-deflate",
            "false",
            "--ws-max-size",
            str(64 * 1024),
        ]
        command = [sys.executable, "-m", "uvicorn", "meshsite.asgi:application", "--log-level", "warning"]
        # Calls in the web process hold up its end, and the workers serve them while they last.
        calls = settings.MESH_VOICE == "inline"
        seconds = 30.0 + (settings.VOICE_HOLD_SECONDS if calls else 0.0)
        yield Program("web", [*command, *address, *manners], drain_seconds=seconds, ends_first=calls)
    if web and settings.MESH_VOICE == "separate":
        yield from _voice_programs()
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "meshsite"]
    for number in range(1, workers + 1):
        slot = f"worker-{number}"  # stable: a restarted slot takes its own steps back at once
        options = ["-n", f"{slot}@%h", "-Q", "steps", "--without-gossip", "--without-mingle"]
        yield Program(slot, [*celery, "worker", *options], {"MESH_SLOT": slot}, f"{slot}@")
    if settings.FLOWER:
        options = [f"--address={FLOWER_HOST}", f"--port={settings.FLOWER_PORT}"]
        yield Program("flower", [*celery, "flower", *options])


def voice_ports() -> dict[str, int]:
    """The names and ports of the voice processes: one a core, or as many as are wanted."""
    count = settings.MESH_VOICE_PROCESSES or os.cpu_count() or 1
    return {f"voice-{number}": settings.MESH_VOICE_PORT + number - 1 for number in range(1, count + 1)}


def _voice_programs() -> Iterator[Program]:
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py"), "voice"]
    # On this machine there is no proxy that goes by the path: each process is reached at its own port.
    local = urlsplit(settings.PUBLIC_BASE_URL).hostname in ("localhost", "127.0.0.1")
    address = settings.PUBLIC_VOICE_URL or ("ws://127.0.0.1:{port}" if local else "")
    for name, port in voice_ports().items():
        yield Program(
            name,
            [*manage, "--name", name, "--port", str(port)],
            {"MESH_VOICE_NAME": name, "PUBLIC_VOICE_URL": address},
            ready_text="voice ready",
            drain_seconds=settings.MESH_VOICE_DRAIN_SECONDS + 10,
            ends_first=True,
        )


async def answers(host: str, port: int) -> bool:
    """Whether the web answers; a refusal counts, an error of its own does not."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status = (await reader.readline()).split()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return len(status) > 1 and status[1] < b"500"


def summary(made: dict[str, Any], *, web: bool, seconds: float) -> Iterator[str]:
    """The lines that end the start: addresses, credentials, and a first call to paste."""
    base = settings.PUBLIC_BASE_URL
    yield f"AI Mesh Network {settings.VERSION} is ready ({seconds:.1f} s). Ctrl-C stops it."
    if not web:
        return
    yield f"  API docs   {base}/api/docs"
    yield f"  Talk       {base}/talk"
    yield f"  Admin      {base}/admin/   {made['admin_user']} / {made['admin_password']}"
    if settings.FLOWER:
        yield f"  Flower     http://{FLOWER_HOST}:{settings.FLOWER_PORT}"
    yield f"  API key    {made['api_key']}"
    yield "Call it (a simulated caller, when the development requirements are installed):"
    yield f"python -m tests.fakes.caller --url {base}"
    yield "Try it:"
    yield (
        f"""curl -s {base}/api/mesh/networks/{made["network_id"]}/tasks"""
        f""" -H "Authorization: Bearer {made["api_key"]}" -H "Content-Type: application/json" """
        """-d '{"task": "Write three subject lines for our spring sale", "process": true}'"""
    )
