"""The engine's stores on a real database, without processes: what happens, happens in the order of the test."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from psycopg_pool import AsyncConnectionPool

from agents.providers.types import FinishReason, Message, ModelRequest, Reply, Usage
from agents.resilience.ports import CallEnd, CallStart
from agents.services import create_network_with_agents
from networks.models import Network, Project
from networks.services import create_project
from tasks.lifecycle import start_run
from tasks.models import Run, Step, Task
from tasks.store.claim import Claimed
from tasks.store.finish import Finished, StepEnd
from tasks.store.invariants import check
from tasks.store.pool import Connection, make_pool
from tasks.worker.incarnation import Incarnation

T = TypeVar("T")
RESULT = {"content": "Done", "confidence": 0.9, "explanation": "By all."}
REPORT = {"reasoning": "r", "result": "Part", "confidence": 0.8, "suggested_memories": []}


class EngineWorld:
    """Runs coroutines on one loop, on which the pool lives. The ORM is for between them."""

    def __init__(self, database_url: str) -> None:
        self._runner = asyncio.Runner()
        self._lives: list[Incarnation] = []
        self.project = create_project(name="Engine")
        self.pool: AsyncConnectionPool[Connection] = self.run(self._open(database_url))

    @staticmethod
    async def _open(database_url: str) -> AsyncConnectionPool[Connection]:
        pool = make_pool(database_url)
        await pool.open()
        return pool

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def together(self, *work: Coroutine[Any, Any, T]) -> list[T]:
        """Run coroutines at the same time, each on a connection of its own."""

        async def gather() -> list[T]:
            return await asyncio.gather(*work)

        return self.run(gather())

    def close(self) -> None:
        for life in self._lives:
            self.run(life.lease.let_go())
        self.run(self.pool.close())
        self._runner.close()

    def life(self, slot: str = "w1", ttl: float = 30.0) -> Incarnation:
        life = Incarnation(self.pool, slot, ttl)
        self._lives.append(life)
        self.run(life.lease.register())
        return life

    # --- work ---------------------------------------------------------------------------------------

    def network(self, *, project: Project | None = None, **fields: Any) -> Network:
        fields.setdefault("name", "Engine network")
        return create_network_with_agents(project=project or self.project, **fields)[0]

    def start(self, network: Network | None = None, **fields: Any) -> Run:
        """Start a task; it begins with the coordinator's step, ready."""
        network = network or self.network()
        fields.setdefault("description", "Do it")
        return start_run(task=Task.objects.create(project_id=network.project_id, network=network, **fields))

    def claim(self, life: Incarnation, limit: int = 100) -> list[Claimed]:
        return self.run(life.claims.claim(limit))

    def claim_one(self, life: Incarnation) -> Claimed:
        [claimed] = self.claim(life)
        return claimed

    def finish(
        self, life: Incarnation, claimed: Claimed, output: Any = REPORT, *, slots: int = 0, **fields: Any
    ) -> Finished:
        return self.run(life.finish.finish(end_of(life, claimed, output, **fields), free_slots=slots))

    def delegated(
        self, life: Incarnation, count: int, *, network: Network | None = None, **subtask: Any
    ) -> list[Claimed]:
        """Start a run, have its coordinator delegate to `count` specialists, and claim their steps."""
        network = network or self.network(max_parallel_steps=min(count, 64))
        run = self.start(network)
        self.finish(life, self.claim_one(life), decision(network, count, **subtask))
        return [claimed for claimed in self.claim(life) if claimed.work.run_id == run.pk]

    # --- the last word ------------------------------------------------------------------------------

    def assert_sound(self) -> None:
        findings = check(lease_seconds=30, sweep_seconds=5)
        broken = {finding.rule: finding.offenders for finding in findings if finding.offenders}
        assert not broken, broken


async def until(
    condition: Callable[[], Awaitable[Any]] | Callable[[], Any], what: str, seconds: float = 10.0
) -> Any:
    """Wait on the loop until a condition holds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


def decision(network: Network, count: int, *, then: str = "synthesize", **subtask: Any) -> Mapping[str, Any]:
    """A coordinator's decision that gives `count` pieces of work to the network's specialists."""
    specialists = list(network.agents.exclude(type="coordinator").values_list("id", flat=True))
    subtasks = [
        {"agent_id": specialists[number % len(specialists)], "description": f"Part {number}", **subtask}
        for number in range(count)
    ]
    return {"task_complete": False, "reasoning": "r", "subtasks": subtasks, "then": then, "new_memories": []}


def end_of(life: Incarnation, claimed: Claimed, output: Any = REPORT, **fields: Any) -> StepEnd:
    work = claimed.work
    given: dict[str, Any] = {"state": "succeeded", "output": output, "worker": life.owner}
    return StepEnd(step_id=work.id, run_id=work.run_id, fence=work.fence, **{**given, **fields})


def call_start(cost: float = 0.01, model: str = "claude-sonnet-5-5") -> CallStart:
    request = ModelRequest(model, (Message("user", "Hello"),))
    return CallStart("anthropic", model, model, request, cost)


def call_end(call_id: str, text: str = "{}", *, cost: float = 0.02, state: Any = "succeeded") -> CallEnd:
    usage = Usage(100, 10)
    reply = Reply(text, FinishReason.STOP, usage, "anthropic", "claude-sonnet-5-5", f"req_of_{call_id}")
    if state != "succeeded":
        return CallEnd(call_id, state, 5.0, cost=cost)
    return CallEnd(call_id, state, 5.0, reply=reply, usage=usage, cost=cost)


def states(run: Run) -> Mapping[str, str]:
    return dict(Step.objects.filter(run=run).values_list("key", "state"))


def kinds(claimed: Sequence[Claimed]) -> list[str]:
    return [item.work.kind for item in claimed]
