"""`python -m bench.engine`: what durable execution costs, measured through the product's own front door.

The product runs as `make run` starts it (embedded servers unless DATABASE_URL / REDIS_URL are given, two
workers), the vendors are simulated in a process of their own at 200 ms a reply, and tasks are posted,
waited for and read over HTTP. The floor is the bare SDK making the same six calls, three deep.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import anthropic
import httpx2

from .service import KEY, Service, Vendors, cpu_seconds, resident_mb, service, vendors

LATENCY_MS = 200.0
SINGLE = 15
THROUGHPUT_TASKS, IN_FLIGHT, RAMP_SECONDS = 240, 64, 4.0
POSTS_PER_SECOND, POSTING_SECONDS = 20, 8
TASK = {
    "task": "Create an email campaign for the TechPro X1 product launch",
    "context": {"product": "TechPro X1", "audience": "young professionals", "tone": "confident"},
}
SPECIALISTS = 4
CRITICAL_PATH_MS = 3 * LATENCY_MS


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(name: str, value: str, floor: str = "", reach: str = "") -> None:
    print(f"  {name:62}{value:>16}{floor:>18}{reach:>16}")


class Client:
    """Talks to one network of the service."""

    def __init__(self, url: str) -> None:
        self.http = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=90,
            limits=httpx2.Limits(max_connections=200, max_keepalive_connections=200),
        )
        self.url = url
        self.network = ""

    async def create_network(self) -> None:
        answer = await self.http.post("/api/mesh/networks", json={"name": "Email Campaign Assistant"})
        self.network = answer.raise_for_status().json()["id"]

    async def post(self, *, process: bool) -> dict[str, Any]:
        path = f"/api/mesh/networks/{self.network}/tasks"
        answer = await self.http.post(path, json={**TASK, "process": process})
        return answer.raise_for_status().json()

    async def finished(self, task_id: str) -> dict[str, Any]:
        path = f"/api/mesh/networks/{self.network}/tasks/{task_id}?wait=60"
        while True:
            answer = (await self.http.get(path)).raise_for_status().json()
            if answer["status"] in ("completed", "failed", "cancelled"):
                return answer


async def bare_sdk(base: Vendors) -> tuple[float, float]:
    """The floor: six calls, three deep, by the bare SDK. Returns (ms over the critical path, CPU ms)."""
    client = anthropic.AsyncAnthropic(
        api_key="bench", base_url=base.environment["ANTHROPIC_BASE_URL"], max_retries=0
    )

    async def call() -> None:
        await client.messages.create(
            model="claude-sonnet-5-5", max_tokens=512, messages=[{"role": "user", "content": str(TASK)}]
        )

    async def task() -> None:
        await call()
        await asyncio.gather(*(call() for _ in range(SPECIALISTS)))
        await call()

    await task()
    taken, cpu = [], time.process_time()
    for _ in range(SINGLE):
        began = time.perf_counter()
        await task()
        taken.append((time.perf_counter() - began) * 1000)
    cpu = (time.process_time() - cpu) * 1000 / SINGLE
    await client.close()
    return statistics.median(taken) - CRITICAL_PATH_MS, cpu


async def one_at_a_time(client: Client, base: Vendors) -> tuple[list[float], list[float], list[float]]:
    """Returns, in ms: added over the critical path as the client sees it, the same by the run's own clock,
    and from the end of each reply at the vendor to the next request there."""
    seen, own, steps = [], [], []
    for number in range(SINGLE + 2):
        base.forget()
        began = time.perf_counter()
        task = await client.finished((await client.post(process=True))["id"])
        taken = (time.perf_counter() - began) * 1000
        assert task["status"] == "completed", task
        if number < 2:
            continue  # warm-up
        calls = base.calls()
        assert len(calls) == SPECIALISTS + 2, f"{len(calls)} calls"
        seen.append(taken - CRITICAL_PATH_MS)
        own.append(_milliseconds(task) - CRITICAL_PATH_MS)
        planned, *parts, last = calls
        steps += [(part["at"] - planned["ended"]) * 1000 for part in parts]
        steps.append((last["at"] - max(part["ended"] for part in parts)) * 1000)
    return seen, own, steps


async def under_load(client: Client) -> tuple[float, list[float], list[float], int]:
    """Keep 64 tasks in flight, and meanwhile post 20 others a second from another process.

    The 64 come one by one, as clients do, before anything is measured.
    Returns (tasks/s, POST ms, task ms, tasks ended in all).
    """
    tasks: list[float] = []
    left = THROUGHPUT_TASKS
    full = asyncio.Event()
    counted: list[float] = []
    ended = 0

    async def closed_loop(number: int) -> None:
        nonlocal left, ended
        await asyncio.sleep(number * RAMP_SECONDS / IN_FLIGHT)
        if number == IN_FLIGHT - 1:
            full.set()
        while left > 0:
            task = await client.finished((await client.post(process=True))["id"])
            assert task["status"] == "completed", task["error"]
            ended += 1
            if full.is_set():
                left -= 1
                tasks.append(_milliseconds(task))
                counted.append(time.perf_counter())

    loops = [asyncio.create_task(closed_loop(number)) for number in range(IN_FLIGHT)]
    await full.wait()
    began = time.perf_counter()
    command = [client.url, client.network, str(POSTS_PER_SECOND), str(POSTING_SECONDS)]
    poster = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.poster", *command, stdout=subprocess.PIPE
    )
    posted, _ = await poster.communicate()
    await asyncio.gather(*loops)
    done = sorted(counted)[:THROUGHPUT_TASKS]
    return len(done) / (done[-1] - began), json.loads(posted), tasks, ended


async def in_flight_in_one_worker(client: Client, base: Vendors) -> int:
    """Return the most model calls that one worker had open at the vendors."""
    base.ask("POST", "/script", {"vendor": "*", "latency_ms": 4000})
    base.forget()
    pending = [await client.post(process=True) for _ in range(80)]
    await asyncio.gather(*(client.finished(task["id"]) for task in pending))
    base.ask("POST", "/script", {"vendor": "*", "latency_ms": LATENCY_MS})
    starts = [call["at"] for call in base.calls()]
    return max(sum(at - 4.0 < other <= at for other in starts) for at in starts)


def _milliseconds(task: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(task[name]) for name in ("started_at", "finished_at"))
    return (ended - began).total_seconds() * 1000


async def measured(
    running: Service, base: Vendors, work: Callable[[], Awaitable[Any]]
) -> tuple[Any, dict[str, float]]:
    """Run `work` and return its result with the CPU seconds that each role used."""
    roles = running.processes() | {"vendors": [base.pid], "bench": [os.getpid()]}
    before = {role: cpu_seconds(pids) for role, pids in roles.items()}
    result = await work()
    roles |= running.processes()
    return result, {role: cpu_seconds(pids) - before.get(role, 0.0) for role, pids in roles.items()}


async def two_workers(base: Vendors) -> None:
    with service(8181, 2, base.environment) as running:
        client = Client(running.url)
        await client.create_network()
        floor, sdk_cpu = await bare_sdk(base)
        seen, own, steps = await one_at_a_time(client, base)
        (rate, posts, tasks, ended), cpu = await measured(running, base, lambda: under_load(client))
        ceiling = 1000 * IN_FLIGHT / CRITICAL_PATH_MS
        row("", "ours", "floor", "reach")
        row(
            "one task: added over the critical path, client's clock, ms p50",
            f"{quantile(seen, 0.5):.0f}",
            f"{floor:.0f} (SDK)",
            "<= 100",
        )
        row(
            "  the same by the run's own clock, ms p50 / p95",
            f"{quantile(own, 0.5):.0f} / {quantile(own, 0.95):.0f}",
        )
        row(
            "step: end of reply -> next request, ms p50 / p95",
            f"{quantile(steps, 0.5):.1f} / {quantile(steps, 0.95):.1f}",
            "",
            "<= 10 / <= 30",
        )
        row(
            f"tasks per second, {IN_FLIGHT} in flight ({THROUGHPUT_TASKS} tasks)",
            f"{rate:.1f}",
            f"{ceiling:.0f} (latency)",
            ">= 20",
        )
        row("  one task meanwhile, ms p50 / p95", f"{quantile(tasks, 0.5):.0f} / {quantile(tasks, 0.95):.0f}")
        row(
            f"POST task at {POSTS_PER_SECOND}/s open loop meanwhile, ms p50 / p95",
            f"{quantile(posts, 0.5):.0f} / {quantile(posts, 0.95):.0f}",
            "",
            "<= 50 p95",
        )
        row(
            "CPU ms a task in the workers",
            f"{cpu.get('worker', 0) * 1000 / ended:.0f}",
            f"{sdk_cpu:.0f} (SDK)",
        )
        others = ", ".join(
            f"{role} {seconds * 1000 / ended:.0f}"
            for role, seconds in sorted(cpu.items())
            if role != "worker"
        )
        row("  and elsewhere", others)
        memory = [resident_mb(pid) for pid in running.processes()["worker"]]
        row("memory per worker, MB", " / ".join(f"{value:.0f}" for value in memory), "", "<= 600")


async def one_worker(base: Vendors) -> None:
    with service(8182, 1, base.environment) as running:
        client = Client(running.url)
        await client.create_network()
        await client.finished((await client.post(process=True))["id"])
        most = await in_flight_in_one_worker(client, base)
        memory = max(resident_mb(pid) for pid in running.processes()["worker"])
        row("model calls in flight in one worker (its memory, MB)", f"{most} ({memory:.0f})", "", ">= 200")


async def main() -> None:
    """Print the engine's table."""
    servers = "given by DATABASE_URL" if "DATABASE_URL" in os.environ else "embedded"
    print(
        f"\nThe engine: coordinator + {SPECIALISTS} specialists + synthesis, {SPECIALISTS + 2} calls, 3 deep, ",
        end="",
    )
    print(f"{LATENCY_MS:.0f} ms each")
    print(
        f"  PostgreSQL {servers}, fsync and synchronous_commit on unless set otherwise, {os.cpu_count()} cores\n"
    )
    with vendors(LATENCY_MS) as base:
        await two_workers(base)
        await one_worker(base)


if __name__ == "__main__":
    asyncio.run(main())
