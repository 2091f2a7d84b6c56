"""A hundred callers at once: nobody is refused, no frame is heard late, nothing is left over.

How fast it was is printed, not judged."""

import asyncio
import os
import time
from dataclasses import dataclass
from statistics import linear_regression

import pytest
import uvloop

from tests.fakes.stalls import Stalls, stalls
from tests.fakes.voice_measures import breaks, converse, latencies, quantile
from tests.fakes.voice_world import VENDORS, Footprint, VoiceWorld, free_ports, punctual, voice_world
from voice.pipeline.far_end import LEAST_LEAD_MS

CALLS = 100
# Descriptors that two processes may keep: a connection to the database for each of their nine threads, opened when
# it was first needed, and some to vendors. A leak would be one a call, or one a turn.
SPARE = 30
pytestmark = pytest.mark.alone


@dataclass
class Outcome:
    before: Footprint
    after: Footprint
    during: list[Footprint]
    turns: int
    refused: list[str]
    gave_up: int
    ends: list[str]
    late_frames: list[float]
    late_sends: int
    simulator_kept_up: bool
    machine: Stalls


async def hundred_calls(seconds: float) -> Outcome:
    """Have all of them talk for so long, over and over."""
    async with voice_world(free_ports(3), processes=2, slots=CALLS // 2 + 5) as world:
        to = await world.number(VENDORS)
        world.timer.grid = 0.002
        await converse(world, to, 4, 3)  # what is loaded at the first call is no leak
        before = await world.settled()
        during: list[Footprint] = []
        watching = asyncio.create_task(watch(world, during, max(1.0, seconds / 60)))
        began = time.monotonic()
        with stalls() as machine, punctual():
            reports = await converse(world, to, CALLS, seconds, ramp=10)
        watching.cancel()
        await world.settled(30)
        after = await rested(world, before, 60)
        details = await world.details(reports, seconds=60)
        found = latencies(reports)
        broken = breaks(reports, world.timer.lateness)
        late = sum(detail["statistics"].get("late_sends", 0) for detail in details.values())
        print(
            f"\n{CALLS} calls for {time.monotonic() - began:.0f} s: {len(found)} turns, p50 "
            f"{quantile(found, 0.5):.0f}, p95 {quantile(found, 0.95):.0f} ms at our edge, "
            f"{sum(report.gave_up for report in reports)} callers gave up, {len(broken)} frames heard late "
            f"{[round(each) for each in sorted(broken)[-9:]]}, {late} sends behind their plan; simulator: "
            f"{world.timer.lateness}; the machine stood still {machine}; before {before}; after {after}"
        )
        return Outcome(
            before,
            after,
            during,
            len(found),
            [report.refused for report in reports if report.refused],
            sum(report.gave_up for report in reports),
            [detail["end_reason"] for detail in details.values()],
            broken,
            late,
            world.timer.lateness.acceptable,
            machine,
        )


async def watch(world: VoiceWorld, found: list[Footprint], every: float) -> None:
    while True:
        found.append(await asyncio.to_thread(world.footprint))
        await asyncio.sleep(every)


async def rested(world: VoiceWorld, before: Footprint, seconds: float) -> Footprint:
    """Spare vendor connections live some seconds longer than the calls they were opened for."""
    deadline = time.monotonic() + seconds
    while True:
        now = await asyncio.to_thread(world.footprint)
        left = now.tasks > before.tasks or now.descriptors > before.descriptors + SPARE
        if not left or time.monotonic() > deadline:
            return now
        await asyncio.sleep(0.5)


def judge(outcome: Outcome) -> None:
    assert "failed" not in outcome.ends
    assert outcome.after.calls == 0
    assert outcome.after.tasks <= outcome.before.tasks + 2, (outcome.before, outcome.after)
    assert outcome.after.descriptors <= outcome.before.descriptors + SPARE, (outcome.before, outcome.after)
    if not outcome.simulator_kept_up:
        print("this machine was too busy to be on time itself: the rest is not judged")
        return
    assert outcome.refused == []
    assert set(outcome.ends) == {"caller_hung_up"}
    assert max(each.calls for each in outcome.during) == CALLS
    assert outcome.turns >= CALLS
    assert outcome.gave_up == 0
    if outcome.machine.watched and outcome.machine.worst_ms < LEAST_LEAD_MS:
        assert outcome.late_frames == []
    else:
        print(
            "this machine stood still for longer than what callers have in hand: late frames are not judged"
        )


@pytest.mark.timeout(400)
def test_it_talks_to_a_hundred_callers_for_a_minute_and_leaves_nothing_behind():
    judge(uvloop.run(hundred_calls(60)))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_it_talks_to_a_hundred_callers_for_half_an_hour_and_does_not_grow():
    seconds = float(os.environ.get("MESH_SOAK_SECONDS", "1800"))
    outcome = uvloop.run(hundred_calls(seconds))
    judge(outcome)
    settled = [
        each
        for each in outcome.during
        if each.calls == CALLS and each.at > outcome.during[0].at + seconds / 3
    ]
    line = linear_regression([each.at for each in settled], [each.memory_mb for each in settled])
    grown = line.slope * (settled[-1].at - settled[0].at)
    print([round(each.memory_mb, 1) for each in settled])
    print(f"memory grew by {grown:.2f} MB in the last {(settled[-1].at - settled[0].at) / 60:.0f} minutes")
    assert grown <= 1.0  # two processes, half a megabyte each
