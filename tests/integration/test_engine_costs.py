"""What a step may cost the database: statements, and connections in hand."""

import asyncio
from typing import Any

import psycopg
import pytest
from django.db import connections

from networks.models import Network
from tasks.models import Run, Step
from tasks.worker.incarnation import Incarnation
from tasks.workflow_runs import start_workflow_run
from tests.integration.engine_world import EngineWorld, until
from tests.integration.loop_world import Model, ended, worker
from tests.integration.workflow_world import agent, graph, version

BRIEF = "Plan an email campaign for the launch, its layout, the metrics and the audience segments"
STEPS = 6  # coordinator, four specialists, synthesis
MOST_STATEMENTS = 7


class Statements:
    """Counts what the pool's connections execute."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.commits = 0
        execute = psycopg.AsyncCursor.execute

        async def counted(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            if query == b"COMMIT":
                self.commits += 1
            elif query != b"BEGIN":
                text = query.decode() if isinstance(query, bytes) else str(query)
                self.texts.append(" ".join(text.split())[:60])
            return await execute(cursor, query, *args, **kwargs)

        monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)


def test_it_needs_seven_statements_a_step_at_most(
    engine: EngineWorld, life: Incarnation, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = engine.network()
    engine.start(network, description=BRIEF)
    statements = Statements(monkeypatch)

    async def scenario() -> None:
        # Nobody polls: the claims that are counted are those of work.
        async with worker(life, Model(), poll_seconds=60) as steps:
            await until(lambda: not steps.held and _ended(statements), "a run that warms the process up")
            await asyncio.to_thread(_start, engine, network)
            statements.texts.clear()
            steps.wake()
            await until(lambda: not steps.held and _ended(statements), "the run that counts")

    engine.run(scenario())
    assert set(Run.objects.values_list("state", "model_calls")) == {("succeeded", STEPS)}
    assert len(statements.texts) <= MOST_STATEMENTS * STEPS, "\n".join(statements.texts)
    engine.assert_sound()


def test_a_workflows_nodes_that_do_nothing_cost_no_transaction(
    engine: EngineWorld, life: Incarnation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of nine steps two are an agent's. Each of these is two transactions of four statements."""
    said = {"type": "agent", "agent_id": agent(engine).pk, "config": {"prompt": "Go."}}
    body = graph(
        *("start-w", "w-p?input.n > 0", "w-a", "p-j", "p-j", "j-a", "a-q", "q-k", "q-k", "k-b", "b-end"),
        **dict.fromkeys(("p", "q"), "parallel"),
        w="branch",
        a=said,
        b=said,
    )
    made = version(engine, body)
    statements = Statements(monkeypatch)

    def begin() -> None:
        start_workflow_run(project=engine.project, version=made, input={"n": 1})
        connections.close_all()

    async def scenario() -> None:
        async with worker(life, Model(), poll_seconds=60) as steps:
            await asyncio.to_thread(begin)
            steps.wake()
            await until(lambda: not steps.held and _ended(statements, 2), "a run that warms the process up")
            await asyncio.to_thread(begin)
            statements.texts.clear()
            statements.commits = 0
            steps.wake()
            await until(lambda: not steps.held and _ended(statements, 2), "the run that counts")

    engine.run(scenario())
    assert set(Run.objects.values_list("state", "model_calls")) == {("succeeded", 2)}
    assert Step.objects.filter(state="succeeded").count() == 2 * 9
    assert statements.commits == 4
    assert len(statements.texts) <= 2 + 2 * 8, "\n".join(statements.texts)  # two for the claim
    engine.assert_sound()


def _start(engine: EngineWorld, network: Network) -> None:
    engine.start(network, description=f"{BRIEF}, again")
    connections.close_all()


def _ended(statements: Statements, steps: int = STEPS) -> bool:
    """So many finishes have been written, without asking the database."""
    return sum("UPDATE tasks_step SET state" in text for text in statements.texts) >= steps


def test_it_holds_no_connection_while_a_model_thinks(engine: EngineWorld, life: Incarnation) -> None:
    run = engine.start(description=BRIEF)

    async def scenario() -> None:
        model = Model()
        model.gate.clear()
        async with worker(life, model, poll_seconds=60):
            await until(lambda: model.requests, "the model is asked")
            await asyncio.sleep(0)
            await until(_all_free, "all connections are in the pool")
            model.gate.set()
            await ended(engine, run)

    def _all_free() -> bool:
        stats = engine.pool.get_stats()
        return stats["pool_available"] == stats["pool_size"]

    engine.run(scenario())
