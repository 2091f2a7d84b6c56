"""Everything a telephone call needs, on this machine: the product as a user starts it, the vendors, the callers.

The product's processes are its own; vendors and callers share this one, which says how late it ran.
"""

import asyncio
import gc
import itertools
import json
import os
import re
import shutil
import socket
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.service import Service, cpu_seconds, resident_mb, service
from voice.priority import go_first, step_back

from .caller.carrier import Carrier
from .caller.line import CLEAN, Line
from .caller.person import Person, Script
from .caller.report import Report
from .caller.timer import Timer
from .vendor_script import Reply
from .vendor_server import Vendors, vendor_servers

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
REPLY = (
    "The parcel left our warehouse this morning. It should reach you on Thursday before noon, and you can "
    "follow it on our page at any time of the day or night."
)
VENDORS: dict[str, Any] = {
    "connectors": {
        "stt": {"primary": "deepgram", "fallback": []},
        "tts": {"primary": "elevenlabs", "fallback": ["azure"]},
    },
    "turn": {"silence_ms": 200},
}


@dataclass
class VoiceWorld:
    service: Service
    vendors: Vendors
    carrier: Carrier
    voice_ports: tuple[int, ...]
    timer: Timer = field(default_factory=Timer)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    async def number(self, config: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Register a telephone number with a session config of its own; returns it."""
        number = f"+1500556{next(self._numbers):04}"
        networks = await self.ask("GET", "/api/mesh/networks")
        body = {"number": number, "network_id": networks[0]["id"], "config": config or VENDORS, **fields}
        await self.ask("POST", "/api/voice/numbers", body)
        return number

    def person(self, to: str, *, line: Line = CLEAN, seed: int | None = None, **more: Any) -> Person:
        return Person(self.carrier, self.timer, to=to, line=line, seed=seed, **more)

    async def calls(
        self, to: str, script: Script, count: int, *, ramp: float = 2.0, line: Line = CLEAN
    ) -> list[Report]:
        """Place many calls, begun within `ramp` seconds, each acting by the script."""

        async def one(number: int) -> Report:
            await asyncio.sleep(ramp * number / max(1, count))
            person = self.person(to, line=line, seed=number, caller=f"+1500557{number:04}")
            return await person.call(script)

        return list(await asyncio.gather(*(one(number) for number in range(count))))

    async def detail(self, report: Report, *, seconds: float = 10) -> dict[str, Any]:
        """What the service has written down of a call, when it says that the call is over."""
        return (await self.details([report], seconds=seconds))[report.call_sid]

    async def details(self, reports: Sequence[Report], *, seconds: float = 15) -> dict[str, dict[str, Any]]:
        """The same of many calls, by their CallSid."""
        wanted = {report.call_sid for report in reports}
        deadline = time.monotonic() + seconds
        while True:
            over: dict[str, str] = {}
            for offset in range(0, 2000, 100):
                rows = await self.ask("GET", f"/api/voice/calls?limit=100&offset={offset}")
                for row in rows:
                    if row["external_id"] in wanted and row["state"] in ("ended", "refused"):
                        over[row["external_id"]] = row["id"]
                if len(rows) < 100 or len(over) == len(wanted):
                    break
            if len(over) == len(wanted):
                return {sid: await self.ask("GET", f"/api/voice/calls/{id}") for sid, id in over.items()}
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(wanted) - len(over)} of {len(wanted)} calls are not over")
            await asyncio.sleep(0.1)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(self.service.ask, method, path, body)

    @property
    def voice_pids(self) -> list[int]:
        return self.service.processes().get("voice") or self.service.processes()["web"]

    def footprint(self) -> "Footprint":
        """What the voice processes hold and have used at this moment."""
        pids = self.voice_pids
        state = [self.state(port) for port in self.voice_ports]
        return Footprint(
            at=time.monotonic(),
            cpu=cpu_seconds(pids),
            memory_mb=sum(resident_mb(pid) for pid in pids),
            descriptors=sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
            calls=sum(found.get("calls", 0) for found in state),
            tasks=sum(found.get("tasks", 0) for found in state),
        )

    def state(self, port: int) -> dict[str, Any]:
        """What a voice process says of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    async def settled(self, seconds: float = 15) -> "Footprint":
        """The footprint when no call is left."""
        return await until(self.footprint, lambda found: not found.calls, seconds)

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over the labels that are not given."""
        text = await asyncio.to_thread(self._scrape)
        total = 0.0
        for match in re.finditer(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE):
            told = dict(re.findall(r'(\w+)="([^"]*)"', match[1] or ""))
            if all(told.get(key) == value for key, value in labels.items()):
                total += float(match[2])
        return total

    def _scrape(self) -> str:
        with urllib.request.urlopen(self.service.url + "/metrics", timeout=20) as answer:
            text: str = answer.read().decode()
            return text

    def log(self) -> str:
        return (self.service.data_dir / "up.log").read_text()


@dataclass(frozen=True)
class Footprint:
    at: float
    cpu: float  # seconds used so far
    memory_mb: float
    descriptors: int
    calls: int
    tasks: int

    def cores_since(self, before: "Footprint") -> float:
        return (self.cpu - before.cpu) / (self.at - before.at)


async def until(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float) -> Any:
    """Look again and again until what is seen is good; returns it."""
    deadline = time.monotonic() + seconds
    while not good(found := await asyncio.to_thread(look)):
        assert time.monotonic() < deadline, f"not in {seconds} s: {found}"
        await asyncio.sleep(0.1)
    return found


@asynccontextmanager
async def voice_world(
    port: int,
    *,
    processes: int = 1,
    slots: int = 60,
    environment: Mapping[str, str] | None = None,
    reply: str = REPLY,
) -> AsyncIterator[VoiceWorld]:
    """Start everything; the web listens at `port`, the voice processes at the ports after it. `processes` 0
    lets the web process take the calls."""
    async with vendor_servers() as vendors:
        vendors.anthropic.always = Reply(text=reply)
        unpaused()
        ports = tuple(range(port + 1, port + 1 + processes))
        settings = {
            # Servers and settings of its own, whatever this process was started with.
            **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "VALKEY_URL", "NATS_URL", "PUBLIC_VOICE_URL"), ""),
            "DJANGO_SETTINGS_MODULE": "meshsite.settings",
            "MESH_ENV_FILE": os.devnull,
            **speech_environment(vendors),
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "MESH_VOICE": "separate" if processes else "inline",
            "MESH_VOICE_PROCESSES": str(processes),
            "MESH_VOICE_PORT": str(port + 1),
            "MESH_VOICE_SLOTS": str(slots),
            **(environment or {}),
        }
        with service(port, 1, settings) as running:
            try:
                for number in ports:
                    await _ready(f"http://127.0.0.1:{number}/readyz")
                carrier = Carrier(running.url, AUTH_TOKEN)
                world = VoiceWorld(running, vendors, carrier, ports or (port,))
                try:
                    yield world
                finally:
                    world.timer.close()
                    await carrier.aclose()
            except BaseException:
                print((running.data_dir / "up.log").read_text()[-4000:])
                raise
        shutil.rmtree(running.data_dir, ignore_errors=True)


def speech_environment(vendors: Vendors) -> dict[str, str]:
    """What points the service at the simulated vendors."""
    return {
        "ANTHROPIC_BASE_URL": vendors.anthropic.url,
        "ANTHROPIC_API_KEY": "simulated",
        "OPENAI_BASE_URL": vendors.openai.url,
        "OPENAI_API_KEY": "simulated",
        "DEEPGRAM_BASE_URL": vendors.deepgram.url,
        "DEEPGRAM_API_KEY": "simulated",
        "ELEVENLABS_BASE_URL": vendors.elevenlabs.url,
        "ELEVENLABS_API_KEY": "simulated",
        "AZURE_SPEECH_BASE_URL": vendors.azure.url,
        "AZURE_SPEECH_KEY": "simulated",
    }


@contextmanager
def punctual() -> Iterator[None]:
    """Let this thread, which is the carrier, go before the service's processes, if the user may."""
    first = go_first(priority=5)
    try:
        yield
    finally:
        if first:
            step_back()


def unpaused() -> None:
    """Collect no old garbage in this process from now on: that stops every caller for 0.2 s, and makes the
    service look late. Young garbage is still collected, little at a time: 100,000 objects take 70 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000, 5, 1_000_000)


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody has."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for number in range(port + 1, port + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except (OSError, OverflowError):
                continue
            return port


async def _ready(url: str) -> None:
    def asked() -> int:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return int(answer.status)
        except OSError:
            return 0

    await until(asked, lambda status: status == 200, 60)
