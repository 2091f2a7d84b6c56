"""A NATS server where there is one, stages in processes of their own, and what is published."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
import orjson

from .voice_world import VoiceWorld, speech_environment

NATS_URL = os.environ.get("TEST_NATS_URL") or os.environ.get("NATS_URL") or "nats://127.0.0.1:4222"


def reachable() -> str:
    """Why the server cannot be used; empty when it can."""
    address = urlsplit(NATS_URL)
    try:
        with socket.create_connection((address.hostname or "127.0.0.1", address.port or 4222), 1) as found:
            found.settimeout(1)
            greeting = found.recv(4096)
    except OSError as error:
        return f"no NATS server at {NATS_URL}: {error}"
    return "" if b'"jetstream":true' in greeting else f"the NATS server at {NATS_URL} has no JetStream"


def prefix() -> str:
    """What the subjects of one test run begin with."""
    return f"test{secrets.token_hex(4)}"


@asynccontextmanager
async def server(prefix: str) -> AsyncIterator[Any]:
    """A connection; afterwards nothing of the prefix is left on the server."""
    client = await nats.connect(NATS_URL, connect_timeout=2)
    try:
        yield client
    finally:
        manager = client.jetstream()
        for stream in ("EVENTS", "CONFIG"):
            with suppress(Exception):
                await manager.delete_stream(f"{prefix.upper()}_VOICE_{stream}")
        await client.close()


async def published(client: Any, prefix: str, subject: str) -> list[dict[str, Any]]:
    """What JetStream has kept of a subject, in order."""
    stream = client.jetstream()
    subscription = await stream.subscribe(f"{prefix}.voice.{subject}", ordered_consumer=True)
    found = []
    with suppress(nats.errors.TimeoutError):
        while True:
            message = await subscription.next_msg(timeout=0.5)
            found.append(orjson.loads(message.data))
    await subscription.unsubscribe()
    return found


class StageProcess:
    """`manage.py voice_stage`, beside a running service."""

    def __init__(self, world: VoiceWorld, prefix: str, *kinds: str, name: str = "") -> None:
        data_dir = world.service.data_dir
        self.log = Path(data_dir) / f"stage-{name or '-'.join(kinds)}-{secrets.token_hex(2)}.log"
        command = [sys.executable, "manage.py", "voice_stage", *kinds]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--name", name] if name else command,
                env={
                    **os.environ,
                    **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "VALKEY_URL"), ""),
                    "DJANGO_SETTINGS_MODULE": "meshsite.settings",
                    "MESH_ENV_FILE": os.devnull,
                    "MESH_DATA_DIR": str(data_dir),
                    "MESH_LOG_LEVEL": "WARNING",
                    **speech_environment(world.vendors),
                    **bus_environment(prefix),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def ready(self) -> "StageProcess":
        async with asyncio.timeout(60):
            while "voice stage ready" not in self.log.read_text():
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.1)
        return self

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> str:
        """End it as its supervisor does; returns its log."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.log.read_text()


def bus_environment(prefix: str, *stages: str) -> Mapping[str, str]:
    return {"NATS_URL": NATS_URL, "NATS_PREFIX": prefix, "MESH_VOICE_STAGES": ",".join(stages)}


@asynccontextmanager
async def stages(world: VoiceWorld, prefix: str, *kinds: str) -> AsyncIterator[dict[str, StageProcess]]:
    """A process a kind, ready; ended afterwards, however the test ended them."""
    running = {kind: StageProcess(world, prefix, kind) for kind in kinds}
    try:
        await asyncio.gather(*(process.ready() for process in running.values()))
        yield running
    finally:
        for process in running.values():
            print(await asyncio.to_thread(process.stop))
