"""What a step may cost the database: statements, and connections in hand."""

import asyncio
from typing import Any

import psycopg
import pytest
from django.db import connections

from networks.models import Network
from tasks.models import Run
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import EngineWorld, until
from tests.integration.loop_world import Model, ended, worker

BRIEF = "Plan an email campaign for the launch, its layout, the metrics and the audience segments"
STEPS = 6  # coordinator, four specialists, synthesis
MOST_STATEMENTS = 8


class Statements:
    """Counts what the pool's connections execute."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        execute = psycopg.AsyncCursor.execute

        async def counted(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            self.texts.append(" ".join(str(query).split())[:60])
            return await execute(cursor, query, *args, **kwargs)

        monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)


def test_it_needs_eight_statements_a_step_at_most(
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


def _start(engine: EngineWorld, network: Network) -> None:
    engine.start(network, description=f"{BRIEF}, again")
    connections.close_all()


def _ended(statements: Statements) -> bool:
    """Six finishes have been written, without asking the database."""
    return sum("UPDATE tasks_step SET state" in text for text in statements.texts) >= STEPS


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
