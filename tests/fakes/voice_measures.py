"""What is measured by calling: turns, interruptions, false pauses. Used by `make validate` and `make bench`."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .caller.line import CLEAN, Line
from .caller.person import Person
from .caller.report import Report
from .caller.timer import Lateness
from .voice_world import VoiceWorld

QUESTION = "when will my parcel arrive"
STOP = "stop talking now please"
LATE = 0.040  # seconds after the last sample was played: a frame that comes then is heard to be late
PAUSE = 2.0  # seconds that pass at least between two answers of `converse`: listening, waiting, a question


@dataclass(frozen=True)
class Interruption:
    """A caller talked over the agent. Words are counts: what was heard, and what the service thinks was."""

    silence_ms: float
    frames_after_clear: int
    heard: int
    claimed: int


@dataclass(frozen=True)
class BargeIns:
    """Many of them; `decided` are the milliseconds within which shares of all decisions were sent out."""

    found: tuple[Interruption, ...]
    missed: int  # interruptions that made nobody silent
    within_10_ms: float

    @property
    def silences(self) -> list[float]:
        return [each.silence_ms for each in self.found]

    @property
    def frames_after(self) -> int:
        return sum(each.frames_after_clear for each in self.found)

    @property
    def right(self) -> float:
        """The share whose heard text is right within one word."""
        good = sum(abs(each.heard - each.claimed) <= 1 for each in self.found)
        return good / max(1, len(self.found))


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def converse(
    world: VoiceWorld, to: str, calls: int, seconds: float, *, ramp: float = 4.0, line: Line = CLEAN
) -> list[Report]:
    """So many callers who ask, listen, ask again, for so long."""

    async def script(caller: Person) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await caller.ask(QUESTION, silent_ms=600, timeout=60)
            await caller.wait(0.5)

    return await world.calls(to, script, calls, ramp=ramp, line=line)


async def interrupt(
    world: VoiceWorld, to: str, calls: int, times: int, *, line: Line = CLEAN, ramp: float = 4.0
) -> BargeIns:
    """Callers who talk over every answer, each a little later into it."""
    before = await _decisions(world)

    async def one(number: int) -> tuple[Report, list[tuple[int, int]]]:
        await asyncio.sleep(ramp * number / max(1, calls))
        person = world.person(to, line=line, seed=number, caller=f"+1500558{number:04}")
        stopped: list[tuple[int, int]] = []  # which exchange, words heard of the turn

        async def script(caller: Person) -> None:
            await caller.ask(QUESTION, silent_ms=500)
            for again in range(times):
                first = sum(1 for _ in caller.ear.words())
                await caller.answered(await caller.say(QUESTION))
                exchange = await caller.interrupt(STOP, after_ms=900 + 170 * ((number * 3 + again * 7) % 11))
                heard = len(exchange.stopped) - first
                stopped.append((len(caller.report.exchanges) - 1, heard))
                await caller.answered(exchange)
                await caller.listen(500)

        return await person.call(script), stopped

    results = await asyncio.gather(*(one(number) for number in range(calls)))
    found: list[Interruption] = []
    missed = 0
    details = await world.details([report for report, _ in results])
    for report, stopped in results:
        claims = [
            len(turn["heard_text"].split())
            for turn in details[report.call_sid]["turns"]
            if turn["interrupted"] and turn["caller_text"] == QUESTION
        ]
        for number, (index, heard) in enumerate(stopped):
            exchange = report.exchanges[index]
            if exchange.clear is None or exchange.silence_ms is None or number >= len(claims):
                missed += 1
                continue
            found.append(
                Interruption(exchange.silence_ms, exchange.frames_after_clear, heard, claims[number])
            )
    after = await _decisions(world)
    quick = (after[0] - before[0]) / max(1, after[1] - before[1])
    return BargeIns(tuple(found), missed, quick)


async def false_pauses(world: VoiceWorld, to: str, calls: int, *, echo_db: float = -25) -> float:
    """False pauses a minute of agent's speech, for silent callers whose line gives the agent back."""
    delays = (120, 200, 300, 400)

    async def one(number: int) -> tuple[Report, Line]:
        line = Line(delay_ms=(30, 80), echo_db=echo_db, echo_ms=delays[number % 4], noise_db=-55)
        person = world.person(to, line=line, seed=number)

        async def script(caller: Person) -> None:
            for _ in range(3):
                await caller.ask(QUESTION, silent_ms=700)

        return await person.call(script), line

    results = await asyncio.gather(*(one(number) for number in range(calls)))
    details = await world.details([report for report, _ in results])
    pauses = sum(detail["false_interruptions"] + detail["interruptions"] for detail in details.values())
    spoken = sum(detail["statistics"].get("outbound_ms", 0) for detail in details.values())
    return pauses / max(0.001, spoken / 60_000)


async def _decisions(world: VoiceWorld) -> tuple[float, float]:
    """Barge-ins so far: cleared within 10 ms of the decision, and all."""
    name = "mesh_voice_barge_in_seconds"
    return await world.metric(f"{name}_bucket", le="0.01"), await world.metric(f"{name}_count")


def latencies(reports: Sequence[Report]) -> list[float]:
    return [value for report in reports for value in report.latencies_ms]


def breaks(reports: Sequence[Report], lateness: Lateness) -> list[float]:
    """Silences inside answers, in ms: frames that reached the carrier more than 40 ms after it had played all it had.
    Between two answers of `converse` a caller hears nothing for longer. For what the simulator was late itself in
    that time the service is not blamed."""
    found = []
    for report in reports:
        for start, end in report.gaps:
            late = end - start - lateness.between(start, end)
            if late > LATE and end - start < PAUSE:
                found.append(late * 1000)
    return found


def realistic(world: VoiceWorld) -> None:
    """Let the vendors take the time that vendors take."""
    world.vendors.deepgram.set(tail_ms=30)
    world.vendors.anthropic.latency = 0.2
    world.vendors.elevenlabs.set(first_audio_ms=100)


def immediate(world: VoiceWorld) -> None:
    """Let the vendors answer at once."""
    world.vendors.deepgram.set(tail_ms=0)
    world.vendors.anthropic.latency = 0.0
    world.vendors.elevenlabs.set(first_audio_ms=0)
