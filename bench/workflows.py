"""`python -m bench.workflows`: what a step of a workflow costs, measured through the product's own front door.

The product runs as `make run` starts it, with two workers, and the vendors are simulated in a process of their
own. A line of agents that answer at once shows the time between two steps; runs of ten steps, kept in flight,
show how many steps are done in a second. The floors do the same model calls with the bare SDK and one commit a
step by bare SQL, in one process, with no engine.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anthropic
import httpx2
import psycopg

from meshsite.embedded import EmbeddedServers

from .engine import measured, quantile, row
from .service import KEY, Service, Vendors, service, vendors

LINE = 10  # agents, one after the other
LINES, WARM_UP = 12, 3
LATENCY_MS = 25.0  # of the vendor, while runs are kept in flight
RUN_STEPS, RUN_CALLS = 10, 3
RUNS, IN_FLIGHT, RAMP_SECONDS = 600, 48, 2.0
FLOOR_RUNS = 200
MODEL = "claude-sonnet-5-5"
COMMIT = "INSERT INTO bench_step (body) VALUES (%s)"


def node(id_: str, type_: str, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "type": type_, **fields}


def edges(*ways: str) -> list[dict[str, Any]]:
    """`a-b` is an edge; `a-b?x` one with a condition."""
    made = []
    for number, way in enumerate(ways):
        path, _, condition = way.partition("?")
        source, target = path.split("-")
        edge = {"id": f"e{number}", "from_node_id": source, "to_node_id": target}
        made.append({**edge, "condition": condition} if condition else edge)
    return made


def line(agent: str) -> dict[str, Any]:
    """start → ten agents → end."""
    names = ["start", *(f"a{number}" for number in range(LINE)), "end"]
    said = [
        node(
            name,
            "agent",
            agent_id=agent,
            config={"prompt": f"Step {name} of {{{{ input.number }}}}: {{{{ context.last_output }}}}"},
        )
        for name in names[1:-1]
    ]
    pairs = [f"{a}-{b}" for a, b in itertools.pairwise(names)]
    return {"nodes": [node("start", "start"), *said, node("end", "end")], "edges": edges(*pairs)}


def mix(agent: str, tool: str) -> dict[str, Any]:
    """Ten steps: start, tool, branch, agent, parallel, two agents at once, join, tool, end."""

    def said(name: str) -> dict[str, Any]:
        return node(
            name, "agent", agent_id=agent, config={"prompt": f"{name} of {{{{ input.number }}}}, please."}
        )

    def sum_(name: str) -> dict[str, Any]:
        return node(
            name, "tool", tool_id=tool, config={"input": {"expression": "{{ input.number }} * 2 + 1"}}
        )

    nodes = [
        *(node("start", "start"), sum_("sum"), node("way", "branch"), said("draft"), said("other")),
        *(node("both", "parallel"), said("left"), said("right"), node("join", "join")),
        *(sum_("total"), node("end", "end", config={"output": "{{ nodes.left.output.text }}"})),
    ]
    ways = edges(
        *("start-sum", "sum-way", "way-draft?nodes.sum.output.value > 0", "way-other", "draft-both"),
        *("other-both", "both-left", "both-right", "left-join", "right-join", "join-total", "total-end"),
    )
    return {"nodes": nodes, "edges": ways}


class Client:
    """Runs workflows of the service's project."""

    def __init__(self, url: str) -> None:
        self.http = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=90,
            limits=httpx2.Limits(max_connections=100, max_keepalive_connections=100),
        )

    async def make(self, path: str, **body: Any) -> str:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def run(self, workflow: str, number: int) -> dict[str, Any]:
        """Run a workflow to its end and return the run."""
        answer = await self.http.post(f"/api/workflows/{workflow}/runs", json={"input": {"number": number}})
        run = answer.raise_for_status().json()["run_id"]
        while True:
            found = (await self.http.get(f"/api/runs/{run}?wait=60")).raise_for_status().json()
            if found["status"] in ("completed", "failed", "cancelled"):
                assert found["status"] == "completed", found["error"]
                return dict(found)


class Floor:
    """The bare SDK, and a table of the same database: what must be paid whatever the engine."""

    def __init__(self, base: Vendors, database: str) -> None:
        self._sdk = anthropic.AsyncAnthropic(
            api_key="bench", base_url=base.environment["ANTHROPIC_BASE_URL"], max_retries=0
        )
        self._database = database

    async def __aenter__(self) -> "Floor":
        self._connections = [
            await psycopg.AsyncConnection.connect(self._database, autocommit=True) for _ in range(8)
        ]
        await self._connections[0].execute("CREATE TABLE bench_step (id serial PRIMARY KEY, body text)")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections[0].execute("DROP TABLE bench_step")
        for connection in self._connections:
            await connection.close()
        await self._sdk.close()

    async def call(self) -> None:
        await self._sdk.messages.create(
            model=MODEL, max_tokens=512, messages=[{"role": "user", "content": "Step, please."}]
        )

    async def commit(self, number: int = 0) -> None:
        await self._connections[number % len(self._connections)].execute(COMMIT, ("x" * 500,))

    async def commit_ms(self) -> float:
        """One commit, ms p50."""
        taken = []
        for _ in range(100):
            began = time.perf_counter()
            await self.commit()
            taken.append((time.perf_counter() - began) * 1000)
        return quantile(taken, 0.5)

    async def step_ms(self, base: Vendors) -> list[float]:
        """End of a reply → next request, with one commit between, ms."""
        base.forget()
        for _ in range(60):
            await self.call()
            await self.commit()
        return gaps(base)

    async def steps_per_second(self) -> float:
        """Runs like those of `mix`: three calls, two of them at once, and ten commits."""
        numbers = iter(range(FLOOR_RUNS))

        async def loop() -> None:
            for number in numbers:
                for _ in range(4):
                    await self.commit(number)
                await self.call()
                await self.commit(number)
                await asyncio.gather(self.call(), self.call())
                for _ in range(5):
                    await self.commit(number)

        began = time.perf_counter()
        await asyncio.gather(*(loop() for _ in range(IN_FLIGHT)))
        return FLOOR_RUNS * RUN_STEPS / (time.perf_counter() - began)


def gaps(base: Vendors) -> list[float]:
    """From the end of each reply at the vendor to the next request there, ms."""
    return [(after["at"] - before["ended"]) * 1000 for before, after in itertools.pairwise(base.calls())]


async def one_line_at_a_time(client: Client, workflow: str, base: Vendors) -> tuple[list[float], list[float]]:
    """Returns, in ms: from each step to the next, and from the POST to the first request."""
    between, first = [], []
    for number in range(WARM_UP + LINES):
        base.forget()
        posted = time.time()
        await client.run(workflow, number)
        if number < WARM_UP:
            continue
        calls = base.calls()
        assert len(calls) == LINE, f"{len(calls)} calls"
        between += gaps(base)
        first.append((calls[0]["at"] - posted) * 1000)
    return between, first


async def in_flight(client: Client, workflow: str) -> tuple[float, int]:
    """Keep runs in flight; returns steps a second once all are there, and how many runs ended in all."""
    numbers = itertools.count()
    ended: list[float] = []
    full = asyncio.Event()
    began = 0.0

    async def loop(place: int) -> None:
        nonlocal began
        await asyncio.sleep(place * RAMP_SECONDS / IN_FLIGHT)
        if place == IN_FLIGHT - 1:
            began = time.perf_counter()
            full.set()
        while not full.is_set() or sum(at >= began for at in ended) < RUNS:
            found = await client.run(workflow, next(numbers))
            assert sum(step["status"] == "completed" for step in found["steps"]) == RUN_STEPS
            ended.append(time.perf_counter())

    await asyncio.gather(*(loop(place) for place in range(IN_FLIGHT)))
    done = sorted(at for at in ended if at >= began)[:RUNS]
    return len(done) * RUN_STEPS / (done[-1] - began), len(ended)


def database_of(running: Service) -> str:
    return os.environ.get("DATABASE_URL") or EmbeddedServers(running.data_dir).database_url


async def measure(running: Service, base: Vendors) -> None:
    client = Client(running.url)
    agent = await client.make("/api/agents", name="Bench writer", type="content", model=MODEL)
    tool = await client.make(
        "/api/tools", name="bench_sum", type="builtin", config={"function": "calculator"}
    )
    straight = await client.make("/api/workflows", name="Line", graph=line(agent))
    mixed = await client.make("/api/workflows", name="Mix", graph=mix(agent, tool))
    between, first = await one_line_at_a_time(client, straight, base)
    async with Floor(base, database_of(running)) as floor:
        commit = await floor.commit_ms()
        bare = await floor.step_ms(base)
        base.ask("POST", "/script", {"vendor": "*", "latency_ms": LATENCY_MS})
        await in_flight_for_warm_up(client, mixed)
        base.forget()
        work: Callable[[], Awaitable[Any]] = lambda: in_flight(client, mixed)  # noqa: E731
        (rate, ended), cpu = await measured(running, base, work)
        bare_rate = await floor.steps_per_second()
    row("", "ours", "floor", "reach")
    row(
        "step: end of reply -> next request, ms p50 / p95",
        f"{quantile(between, 0.5):.1f} / {quantile(between, 0.95):.1f}",
        f"{quantile(bare, 0.5):.1f} / {quantile(bare, 0.95):.1f}",
        "<= 10 / <= 30",
    )
    row("  one commit of one row by bare SQL, ms p50", "", f"{commit:.1f}")
    row("POST of a run -> its first request, ms p50", f"{quantile(first, 0.5):.0f}")
    row(f"steps per second, {IN_FLIGHT} runs in flight", f"{rate:.0f}", f"{bare_rate:.0f}", ">= 120, 250")
    _print_cpu(cpu, ended)
    await client.http.aclose()


async def in_flight_for_warm_up(client: Client, workflow: str) -> None:
    await asyncio.gather(*(client.run(workflow, number) for number in range(IN_FLIGHT)))


def _print_cpu(cpu: Mapping[str, float], ended: int) -> None:
    shares = sorted((role, seconds * 1000 / ended / RUN_STEPS) for role, seconds in cpu.items())
    row("  CPU ms a step", f"{sum(share for _, share in shares):.1f}")
    print("    " + ", ".join(f"{role} {share:.2f}" for role, share in shares))


async def main() -> None:
    """Print the workflows' table."""
    print(
        f"\nWorkflows: a line of {LINE} agents whose vendor answers at once; and runs of {RUN_STEPS} steps:"
    )
    print(
        f"  start, tool, branch, agent, parallel, agent + agent, join, tool, end; the vendor takes {LATENCY_MS:.0f} ms\n"
    )
    with vendors(0.0) as base, service(8183, 2, base.environment) as running:
        await measure(running, base)


if __name__ == "__main__":
    asyncio.run(main())
