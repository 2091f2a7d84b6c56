"""What a caller notices of a service that fails in the turn, and how fast a call that is over leaves nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes.caller.person import Person
from tests.fakes.speech_vendor import SpeechFault
from tests.fakes.vendor_script import Reply
from tests.fakes.voice_measures import QUESTION, latencies, quantile
from tests.fakes.voice_world import REPLY, VENDORS, VoiceWorld

from .voice_table import Part, config, row

TIMES = 4
STATES = ("greeting", "talking", "thinking", "speaking", "paused", "cut off while speaking")
_TRUST_SECONDS = 25.0  # after which a breaker trusts its service again


async def backups(world: VoiceWorld) -> None:
    """How much later the answer comes, and what is lost, when the first service fails in the turn."""
    both = {"stt": {"primary": "deepgram", "fallback": ["openai"]}, "tts": VENDORS["connectors"]["tts"]}
    to = await world.number({**config(), "connectors": both})
    async with Part(world, "A backup takes over in the turn"):
        usual = quantile([(await _ask(world, to))[0] for _ in range(TIMES)], 0.5)
        voice, ear = world.vendors.elevenlabs, world.vendors.deepgram
        for name, vendor, fault in (
            ("voice says nothing", voice, SpeechFault("silence")),
            ("voice breaks off at once", voice, SpeechFault("cut")),
            ("recogniser says nothing", ear, SpeechFault("silence")),
            ("recogniser breaks off in the caller's sentence", ear, SpeechFault("cut", after_ms=700)),
        ):
            vendor.dead = True  # no connection of better times is left
            vendor.dead = False
            vendor.always = fault
            first, lost = await _ask(world, to)
            vendor.always = None
            row(f"{name}: added to the turn", f"{first - usual:.0f} ms", "", "≤ 600 ms")
            row("  words of the caller lost", f"{lost}", "", "0")
            await asyncio.sleep(_TRUST_SECONDS)
        row("voice dies in its sentence: longest silence", f"{await _dies(world, to):.0f} ms", "", "≤ 600 ms")


async def _ask(world: VoiceWorld, to: str) -> tuple[float, int]:
    """One question; how long the answer took, and how many of the caller's words were not understood."""

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)

    report = await world.person(to).call(script)
    call = await world.detail(report)
    understood = " ".join(turn["caller_text"] for turn in call["turns"]).split()
    return latencies([report])[0], sum(word not in understood for word in QUESTION.split())


async def _dies(world: VoiceWorld, to: str) -> float:
    """The longest silence in an answer whose voice is killed 1.5 s into it."""
    world.vendors.elevenlabs.set(chunk_interval_ms=200)  # not much faster than it is spoken
    world.vendors.elevenlabs.always = SpeechFault("cut", after_ms=1500)

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)

    report = await world.person(to).call(script)
    world.vendors.elevenlabs.reset()
    missing = set(REPLY.split()) - {word.text for word in report.words}
    assert not missing, missing
    return max(report.gaps_ms, default=0.0)


async def hang_ups(world: VoiceWorld) -> None:
    """From the caller's end of the line to nothing left: call, tasks, connections to vendors."""
    async with Part(world, "The caller hangs up"):
        slowest: dict[str, float] = {}
        to = await world.number(config(greeting="Hello, this is the demo network."))
        for state in STATES:
            for _ in range(3):
                rest = await world.settled()
                done: list[float] = []
                await world.person(to).call(_script(world, state, done, rest.tasks), status=False)
                slowest[state] = max(slowest.get(state, 0.0), *done)
        for state, seconds in slowest.items():
            row(f"{state}: nothing left after", f"{seconds * 1000:.0f} ms", "", "≤ 500 ms")
    world.vendors.anthropic.latency, world.vendors.anthropic.always = 0.0, Reply(text=REPLY)


def _script(
    world: VoiceWorld, state: str, done: list[float], tasks: int
) -> Callable[[Person], Awaitable[Any]]:
    async def script(caller: Person) -> None:
        world.vendors.anthropic.latency = 5.0 if state == "thinking" else 0.0
        if state == "greeting":
            await caller.hears(200)
        else:
            await caller.listen()
        if state == "talking":
            caller.start_saying(QUESTION)
            await caller.wait(0.6)
        elif state != "greeting":
            await caller.say(QUESTION)
        if state == "thinking":
            await caller.wait(0.5)
        elif state not in ("greeting", "talking"):
            await caller.hears(600)
        if state == "paused":
            caller.start_saying(QUESTION)
            await caller.wait(0.2)
        began = time.monotonic()
        if state.startswith("cut"):
            caller.vanish()
        else:
            await caller.hang_up()
        done.append(await _nothing_left(world, tasks) - began)

    return script


async def _nothing_left(world: VoiceWorld, tasks: int) -> float:
    """When the process has no call, no task of it and no vendor a connection of it; looked at every 10 ms."""
    calls = [call for vendor in world.vendors.speech.values() for call in vendor.calls if call.heard_ms]
    async with asyncio.timeout(10):
        while True:
            found = await asyncio.to_thread(world.state, world.voice_ports[0])
            over = not found["calls"] and found["tasks"] <= tasks + 2  # the spare connection of the next call
            if over and all(call.gone.is_set() for call in calls):
                return time.monotonic()
            await asyncio.sleep(0.01)
