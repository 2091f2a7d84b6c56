"""Finishing: one transaction that ends a step, plans what follows, and tells of it."""

import asyncio

import pytest
from django.db import connections

from memory.models import MemoryItem
from networks.services import create_project
from tasks.engine.ports import NewMemory
from tasks.lifecycle import cancel_run
from tasks.models import Event, Run, RunBody, Step
from tasks.store import sql
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import RESULT, EngineWorld, decision, end_of, states, until


def test_it_goes_from_decision_to_result(engine: EngineWorld, life: Incarnation) -> None:
    parts = engine.delegated(life, 4)
    for part in parts:
        engine.finish(life, part)
    finished = engine.finish(life, engine.claim_one(life), RESULT)
    assert finished.run_state == "succeeded"
    assert RunBody.objects.get().output == RESULT
    assert list(Event.objects.order_by("seq").values_list("type", flat=True)) == [
        "run.started",
        *["step.completed"] * 6,
        "run.completed",
    ]
    engine.assert_sound()


def test_it_drops_a_write_with_an_old_fence(engine: EngineWorld, life: Incarnation) -> None:
    run = engine.start()
    claimed = engine.claim_one(life)
    Step.objects.update(fence=2)
    before = Run.objects.values().get(pk=run.pk)
    assert engine.finish(life, claimed, RESULT).stale
    assert Run.objects.values().get(pk=run.pk) == before
    assert states(run) == {"coordinate-1": "running"}


def test_it_drops_a_second_finish(engine: EngineWorld, life: Incarnation) -> None:
    network = engine.network()
    engine.start(network)
    claimed = engine.claim_one(life)
    assert not engine.finish(life, claimed, decision(network, 2)).stale
    assert engine.finish(life, claimed, decision(network, 2)).stale
    assert Step.objects.count() == 4
    engine.assert_sound()


def test_it_starts_what_follows_in_the_same_breath_when_there_is_room(
    engine: EngineWorld, life: Incarnation
) -> None:
    network = engine.network()
    run = engine.start(network)
    finished = engine.finish(life, engine.claim_one(life), decision(network, 3), slots=2)
    assert len(finished.claimed) == 2
    assert len(finished.ready) == 1
    assert sorted(states(run).values()) == ["pending", "ready", "running", "running", "succeeded"]


@pytest.mark.parametrize("theirs", ["the same project, more urgent", "another project"])
def test_it_leaves_its_followers_in_the_queue_when_others_wait(
    engine: EngineWorld, life: Incarnation, theirs: str
) -> None:
    network = engine.network()
    engine.start(network)
    claimed = engine.claim_one(life)
    if theirs == "another project":
        engine.start(engine.network(project=create_project(name="Other")))
    else:
        engine.start(network, priority=10)
    finished = engine.finish(life, claimed, decision(network, 2), slots=10)
    assert (len(finished.claimed), len(finished.ready)) == (0, 2)


def test_it_keeps_to_the_runs_parallelism(engine: EngineWorld, life: Incarnation) -> None:
    network = engine.network(max_parallel_steps=2)
    run = engine.start(network)
    engine.finish(life, engine.claim_one(life), decision(network, 4))
    first = engine.claim(life)
    assert len(first) == 2
    engine.finish(life, first[0])
    assert sorted(states(run).values()) == [
        "pending",
        "pending",
        "ready",
        "running",
        "succeeded",
        "succeeded",
    ]


@pytest.mark.parametrize(("required", "state"), [(False, "running"), (True, "failed")])
def test_it_fails_the_run_only_with_a_required_part(
    engine: EngineWorld, life: Incarnation, required: bool, state: str
) -> None:
    first, *_ = engine.delegated(life, 3, required=required)
    failed = engine.finish(life, first, None, state="failed", error_code="refused", error_detail="No.")
    assert failed.run_state == state
    assert Run.objects.get().error_code == ("refused" if required else "")
    engine.assert_sound()


def test_it_remembers_once(engine: EngineWorld, life: Incarnation) -> None:
    network = engine.network()
    engine.start(network)
    claimed = engine.claim_one(life)
    memories = (NewMemory("fact", "X1 costs 99", 0.9), NewMemory("decision", "Lead with price", 0.5))
    engine.finish(life, claimed, decision(network, 1), memories=memories)
    assert engine.finish(life, claimed, decision(network, 1), memories=memories).stale
    assert MemoryItem.objects.count() == 2
    assert Event.objects.filter(type="memory.written").count() == 1


def test_it_does_not_remember_what_the_network_knows(engine: EngineWorld, life: Incarnation) -> None:
    first, second = engine.delegated(life, 2)
    for part in (first, second):
        engine.finish(life, part, memories=(NewMemory("fact", "X1 costs 99", 0.9),))
    assert MemoryItem.objects.count() == 1


def join(engine: EngineWorld, life: Incarnation, other: Incarnation, count: int) -> None:
    parts = engine.delegated(life, count)
    assert len(parts) == count
    finished = engine.together(*(life.finish.finish(end_of(life, part)) for part in parts))
    assert sum(len(one.ready) + len(one.claimed) for one in finished) == 1
    synthesis = engine.claim(life) + engine.claim(other)
    assert [item.work.kind for item in synthesis] == ["synthesize"]
    engine.finish(life, synthesis[0], RESULT)


def test_it_joins_thirty_two_that_end_together_once(engine: EngineWorld, life: Incarnation) -> None:
    other = engine.life("w2")
    for _ in range(20):
        join(engine, life, other, 32)
    assert Run.objects.filter(state="succeeded").count() == 20
    engine.assert_sound()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_it_joins_a_thousand_times(engine: EngineWorld, life: Incarnation) -> None:
    other = engine.life("w2")
    for _ in range(1_000):
        join(engine, life, other, 32)
    engine.assert_sound()


def test_it_leaves_nothing_running_when_a_cancel_waits_for_a_finish(
    engine: EngineWorld, life: Incarnation
) -> None:
    network = engine.network()
    run = engine.start(network)
    end = end_of(life, engine.claim_one(life), decision(network, 3))

    async def scenario() -> None:
        async with engine.pool.connection() as holder, holder.transaction():
            await holder.execute(sql.HOLD_RUN, {"run": run.pk})
            finishing = asyncio.create_task(life.finish.finish(end))
            await until(lambda: _waiting_for_locks(engine, 1), "the finish queues for the run")
            cancelling = asyncio.create_task(asyncio.to_thread(_cancel, run.pk))
            await until(lambda: _waiting_for_locks(engine, 2), "the cancel queues behind it")
        assert not (await finishing).stale
        await cancelling

    engine.run(scenario())
    assert Run.objects.get(pk=run.pk).state == "cancelled"
    assert set(states(run).values()) == {"cancelled", "succeeded"}
    engine.assert_sound()


def _cancel(run_id: str) -> None:
    cancel_run(run_id=run_id)
    connections.close_all()


async def _waiting_for_locks(engine: EngineWorld, number: int) -> bool:
    async with engine.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        row = await cursor.fetchone()
    return bool(row and row[0] >= number)
