"""Steps in a worker's loop: replayed, handed over, aborted, and begun once in spite of an outage."""

import asyncio
import json
from typing import Any

import psycopg
import pytest

from agents.models import ModelCall
from tasks.lifecycle import cancel_run
from tasks.models import Attempt, Event, Run, RunBody, Step
from tasks.store.journal import JournalStore
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import EngineWorld, until
from tests.integration.loop_world import Model, ended, worker

DONE = json.dumps(
    {
        "task_complete": True,
        "reasoning": "It is easy.",
        "subtasks": [],
        "then": "synthesize",
        "new_memories": [{"type": "fact", "content": "It was easy", "confidence": 1}],
        "result": {"content": "Done", "confidence": 90, "explanation": "By me."},
    }
)


def test_it_replays_committed_replies_after_a_kill(engine: EngineWorld, life: Incarnation) -> None:
    run = engine.start()
    before, after = Model("no JSON at all"), Model(DONE)

    async def killed_in_the_repair() -> None:
        async with worker(life, before):
            await until(lambda: len(before.requests) == 1, "the first turn")
            before.gate.clear()
            await until(lambda: len(before.requests) == 2, "the repair is asked for")
        await life.lease.let_go()

    async def another_life() -> None:
        again = Incarnation(engine.pool, "w1", 30)
        await again.lease.register()
        for orphan in await again.sweep.orphans(settled=True, held=()):
            await again.sweep.recover(orphan)
        async with worker(again, after):
            await ended(engine, run)
        await again.lease.let_go()

    engine.run(killed_in_the_repair())
    Step.objects.filter(run=run).update(state="running")  # a kill writes no release
    engine.run(another_life())
    [repair] = after.requests  # the first turn was not asked again
    assert repair.messages == before.requests[1].messages
    assert Run.objects.get(pk=run.pk).state == "succeeded"
    assert ModelCall.objects.filter(turn=0).count() == 1
    engine.assert_sound()


def test_it_ends_a_run_that_the_coordinator_completes_alone(engine: EngineWorld, life: Incarnation) -> None:
    run = engine.start()
    model = Model(DONE)

    async def scenario() -> None:
        async with worker(life, model):
            await ended(engine, run)

    engine.run(scenario())
    assert len(model.requests) == 1
    assert RunBody.objects.values_list("output__confidence", flat=True).get(pk=run.pk) == 0.9
    told = list(Event.objects.order_by("seq").values_list("type", flat=True))
    assert told == [
        "run.started",
        "step.started",
        "agent.request",
        "agent.response",
        "memory.written",
        "step.completed",
        "run.completed",
    ]
    engine.assert_sound()


def test_it_aborts_the_calls_of_a_cancelled_run_and_writes_nothing_more(
    engine: EngineWorld, life: Incarnation
) -> None:
    run = engine.start()
    model = Model()

    async def scenario() -> None:
        model.gate.clear()
        async with worker(life, model) as steps:
            await until(lambda: model.requests, "the model is asked")
            await asyncio.to_thread(cancel_run, run_id=run.pk)
            steps.abort(await life.lease.lost(steps.held), "lost")
            await until(lambda: not steps.held, "it lets go")
            assert steps.stale_writes == 1

    engine.run(scenario())
    assert ModelCall.objects.get().state == "cancelled"
    assert Event.objects.order_by("seq").last().type == "run.cancelled"  # type: ignore[union-attr]
    engine.assert_sound()


def test_it_hands_over_what_does_not_end_in_time(engine: EngineWorld, life: Incarnation) -> None:
    run = engine.start()
    model = Model()

    async def scenario() -> None:
        model.gate.clear()
        async with worker(life, model) as steps:
            await until(lambda: model.requests, "the model is asked")
            await steps.drain(0.05)
            assert not steps.held

    engine.run(scenario())
    step = Step.objects.get(run=run)
    assert (step.state, step.crashes, step.tries) == ("ready", 0, 0)
    assert Attempt.objects.get().outcome == "released"
    engine.assert_sound()


@pytest.mark.parametrize("committed", [False, True])
def test_it_begins_a_call_once_in_spite_of_an_outage(
    engine: EngineWorld, life: Incarnation, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    run = engine.start()
    model = Model(DONE)
    begin, troubles = JournalStore.begin, [psycopg.OperationalError("the server closed the connection")]

    async def troubled(self: JournalStore, *args: Any, **kwargs: Any) -> None:
        if committed or not troubles:
            await begin(self, *args, **kwargs)
        if troubles:
            raise troubles.pop()

    monkeypatch.setattr(JournalStore, "begin", troubled)

    async def scenario() -> None:
        async with worker(life, model):
            await ended(engine, run)

    engine.run(scenario())
    assert Run.objects.get(pk=run.pk).state == "succeeded"
    assert (len(model.requests), ModelCall.objects.count()) == (1, 1)
    engine.assert_sound()


def test_it_keeps_track_of_a_step_that_it_lost_and_won_again(engine: EngineWorld, life: Incarnation) -> None:
    run = engine.start()
    model = Model()

    async def scenario() -> None:
        model.gate.clear()
        async with worker(life, model) as steps:
            await until(lambda: model.requests, "the model is asked")
            [(step_id, fence)] = steps.held
            async with engine.pool.connection() as connection:  # others took us for dead
                await connection.execute(
                    "UPDATE tasks_step SET state = 'ready', owner = '' WHERE id = %s", (step_id,)
                )
            await until(lambda: steps.held == [(step_id, fence + 1)], "it wins the step again")
            await until(lambda: steps.stale_writes == 1, "the old attempt gives up")
            assert steps.held == [(step_id, fence + 1)]
            model.gate.set()
            await ended(engine, run)

    engine.run(scenario())
    engine.assert_sound()
