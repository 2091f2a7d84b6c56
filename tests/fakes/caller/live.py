"""A call on a terminal, while it runs and when it is over."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2

from .carrier import Carrier
from .report import Report
from .timer import Timer

_COLOURS = {"caller": 36, "agent": 32, "note": 90, "bad": 31, "good": 32}


def paint(text: str, colour: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def money(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


class Live:
    """Tells what the caller does, and what the service writes down meanwhile."""

    def __init__(self, carrier: Carrier, api_key: str) -> None:
        self._carrier, self._key = carrier, api_key
        self._began = time.monotonic()
        self._call_id = ""
        self._seen = 0

    def dials(self, to: str, url: str) -> None:
        self._tell("note", f"dialling {to} at {url}")

    def happens(self, kind: str, facts: dict[str, Any]) -> None:
        """What the simulated caller does (`Person(watch=…)`)."""
        if kind == "connected":
            self._tell("note", "connected")
        elif kind == "saying":
            over = " (over the agent)" if facts["interrupting"] else ""
            self._tell("caller", f"CALLER{over}: {facts['text']}")
        elif kind == "answer":
            self._tell(
                "note", f"the answer begins {facts['latency_ms']:.0f} ms after the caller's last sound"
            )
        elif kind == "over":
            self._tell("note", f"the call is over ({facts['by'] or 'caller'} hung up)")

    async def follow(self, call_sid: str) -> None:
        """Show the call's event log as it grows, until cancelled."""
        while True:
            with suppress(httpx2.HTTPError):
                await self._look(call_sid)
            await asyncio.sleep(0.3)

    async def finish(self, call_sid: str, following: "asyncio.Task[None]") -> dict[str, Any] | None:
        """Stop following; return what is written down of the call when it says that it is over."""
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        detail: dict[str, Any] | None = None
        for _ in range(50):
            with suppress(httpx2.HTTPError):
                await self._look(call_sid)
                if self._call_id:
                    detail = await self._carrier.ask(f"/api/voice/calls/{self._call_id}", self._key)
                    if detail and detail["state"] in ("ended", "refused"):
                        await self._look(call_sid)
                        return detail
            await asyncio.sleep(0.1)
        return detail

    async def _look(self, call_sid: str) -> None:
        if not self._call_id:
            rows = await self._carrier.ask("/api/voice/calls?limit=100", self._key)
            self._call_id = next((row["id"] for row in rows if row["external_id"] == call_sid), "")
            return
        path = f"/api/voice/calls/{self._call_id}/events?limit=100&after={self._seen}"
        for event in await self._carrier.ask(path, self._key):
            if event["seq"] > self._seen:
                self._seen = event["seq"]
                self._show(event["type"], event["payload"])

    def _show(self, kind: str, payload: dict[str, Any]) -> None:
        if kind == "transcript.final":
            self._tell("note", f"understood: {payload['text']!r}")
        elif kind == "turn.completed" and payload.get("heard"):
            self._tell("agent", f"AGENT: {payload['heard']}")
        elif kind in (
            "error",
            "agent.resumed",
            "agent.interrupted",
            "stt.fallback",
            "tts.fallback",
            "tool.used",
        ):
            self._tell("bad" if kind == "error" else "note", f"{kind}: {payload}")

    def _tell(self, colour: str, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.2f} s  {paint(text, colour)}", flush=True)


def summary(report: Report, detail: dict[str, Any] | None, timer: Timer) -> Iterator[str]:
    """The call as the caller met it, and as GET /api/voice/calls/{id} tells it."""
    yield ""
    for exchange in report.exchanges:
        after = "no answer" if exchange.latency_ms is None else f"{exchange.latency_ms:.0f} ms"
        yield f"  at our edge   {exchange.said or '(a sound)'!r}: {after}"
    if detail is None:
        yield "  (no API key: the call's own record is not shown)"
    else:
        yield f"  GET /api/voice/calls/{detail['id']}"
        yield f"    state {detail['state']} ({detail['end_reason']}), {detail['seconds']} s, MOS {detail['mos']} (estimated)"
        yield f"    cost {detail['cost']:.6f} USD, {detail['interruptions']} interruptions"
        for stage, values in detail["latencies"].items():
            yield f"    {stage:14} p50 {values['p50']:7.1f}   p95 {values['p95']:7.1f} ms"
        for turn in detail["turns"]:
            yield f"    turn {turn['number']}: {turn['caller_text']!r} -> heard {turn['heard_text']!r}"
    yield f"  the simulator's clock: {timer.lateness}"
