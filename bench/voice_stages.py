"""`python -m bench.voice_stages`: what a turn pays for stages that are processes of their own, over NATS.

The same calls twice, beside each other: all stages in the voice process, and `stt`, `llm`, `tts` each in a process.
Vendors answer at once, so what is left is ours. Nothing is pinned: five processes share what cores there are.
"""

from contextlib import AsyncExitStack

import uvloop

from tests.fakes.voice_measures import immediate, quantile
from tests.fakes.voice_stages import bus_environment, prefix, reachable, server, stages
from tests.fakes.voice_world import VoiceWorld, free_ports, voice_world

from .voice import finals_to_frames
from .voice_table import Part, config, pair, row

KINDS = ("stt", "llm", "tts")
PARTS = ((1, 20), (20, 6))  # calls at once, turns of each


async def main() -> None:
    if reason := reachable():
        print(f"skipped: {reason}")
        return
    print(
        "\nVoice over NATS: from the recogniser's last word at the vendor to the first frame at the carrier"
    )
    row("", "p50/p95", "", "")
    found: dict[str, list[float]] = {}
    for outside in (False, True):
        name = prefix()
        kinds = KINDS if outside else ()
        where = "stages outside" if outside else "in process"
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(server(name))
            world: VoiceWorld = await stack.enter_async_context(
                voice_world(free_ports(2), environment=bus_environment(name, *kinds), reply="On Thursday.")
            )
            await stack.enter_async_context(stages(world, name, *kinds))
            immediate(world)
            to = await world.number(config(speculate=False))
            await finals_to_frames(world, to, 1, 3)
            for calls, turns in PARTS:
                title = f"{calls} call{'s' * (calls > 1)}, {where}"
                async with Part(world, title):
                    times = await finals_to_frames(world, to, calls, turns)
                    row("no speculation", pair(times))
                    found[title] = times
    for many in (f"{calls} call{'s' * (calls > 1)}" for calls, _ in PARTS):
        inside, beyond = found[f"{many}, in process"], found[f"{many}, stages outside"]
        difference = quantile(beyond, 0.5) - quantile(inside, 0.5)
        row(f"added a turn by NATS, {many}", f"{difference:+.1f} ms")


if __name__ == "__main__":
    uvloop.run(main())
