"""Rows of the voice table, and how late the simulator was while they were measured."""

import time
from typing import Any

from tests.fakes.caller.timer import Lateness
from tests.fakes.voice_measures import quantile
from tests.fakes.voice_world import VENDORS, VoiceWorld


def row(name: str, value: str, floor: str = "", reach: str = "") -> None:
    print(f"  {name:62}{value:>18}{floor:>16}{reach:>16}", flush=True)


def pair(values: list[float]) -> str:
    return f"{quantile(values, 0.5):.1f}/{quantile(values, 0.95):.1f} ms"


def config(**turn: Any) -> dict[str, Any]:
    return {**VENDORS, "turn": {**VENDORS["turn"], **turn}}


class Part:
    """One part of the table; says afterwards how late the simulator was and how much it used."""

    def __init__(self, world: VoiceWorld, title: str) -> None:
        self._world, self._title = world, title

    async def __aenter__(self) -> None:
        print(f"\n{self._title}")
        self._world.timer.lateness = Lateness()
        self._cpu, self._at = time.process_time(), time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        share = (time.process_time() - self._cpu) / (time.monotonic() - self._at)
        lateness = self._world.timer.lateness
        worth = "" if lateness.acceptable else "   LATE: this part is worth nothing"
        print(f"    (simulator: {share:.0%} of its core, {lateness}){worth}", flush=True)
        await self._world.settled(60)
