"""The floor of a call: a Channels consumer that sends every frame back, behind the same server, and nothing else."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer

from tests.fakes.caller.clips import SILENT_PAYLOAD
from tests.fakes.caller.timer import Timer
from tests.fakes.caller.websocket import Refused, WebSocket
from tests.fakes.voice_world import free_ports

from .service import cpu_seconds

application: object = None


class Echo(AsyncWebsocketConsumer):
    """Takes a media message apart and sends its audio back."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message = orjson.loads(text_data or "{}")
        payload = message["media"]["payload"]
        await self.send(f'{{"event":"media","streamSid":"MZ","media":{{"payload":"{payload}"}}}}')


@dataclass(frozen=True)
class Floor:
    core_per_call: float  # percent
    trips_ms: list[float]


async def measure(calls: int, seconds: float, core: int | None) -> Floor:
    """So many streams of 50 frames a second through the echo."""
    port = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "bench.voice_floor:application", "--port", str(port)]
    manners = ["--log-level", "warning", "--lifespan", "off", "--ws-per-message-deflate", "false"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "meshsite.settings", "MESH_ENV_FILE": os.devnull}
    process = subprocess.Popen(  # noqa: ASYNC220 (nothing else runs yet)
        [*command, *manners, "--ws", "websockets-sansio"], env=environment
    )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        streams = [await _open(port) for _ in range(calls)]
        await asyncio.sleep(1)
        timer = Timer()
        for number, stream in enumerate(streams):
            stream.run(timer, time.monotonic() + 0.02 * number / calls)
        await asyncio.sleep(1)
        before, at = cpu_seconds([process.pid]), time.monotonic()
        await asyncio.sleep(seconds)
        used = (cpu_seconds([process.pid]) - before) / (time.monotonic() - at)
        timer.close()
        return Floor(used * 100 / calls, [trip for stream in streams for trip in stream.trips])
    finally:
        process.terminate()
        process.wait()


class _Stream:
    def __init__(self) -> None:
        self.trips: list[float] = []
        self._sent: list[float] = []
        self.socket = WebSocket(self._back, lambda code: None)

    def run(self, timer: Timer, due: float) -> None:
        self._sent.append(time.monotonic())
        self.socket.send_text(
            b'{"event":"media","sequenceNumber":"1","media":{"track":"inbound","chunk":"1","timestamp":"20",'
            b'"payload":"%b"},"streamSid":"MZ"}' % SILENT_PAYLOAD
        )
        timer.at(due + 0.02, self.run, timer, due + 0.02)

    def _back(self, data: bytes, at: float) -> None:
        self.trips.append((at - self._sent.pop(0)) * 1000)


async def _open(port: int) -> _Stream:
    for attempt in range(100):
        stream = _Stream()
        try:
            await stream.socket.connect(f"ws://127.0.0.1:{port}/", {})
        except Refused:
            if attempt == 99:
                raise
            await asyncio.sleep(0.1)
        else:
            return stream
    raise AssertionError("the echo does not start")


if os.environ.get("DJANGO_SETTINGS_MODULE"):
    application = Echo.as_asgi()
