"""The ledger: written before a request leaves, settled whatever became of its step, replayed after a crash."""

import asyncio
from typing import Any

import pytest

from agents.models import ModelCall
from networks.models import Network
from networks.services import update_network
from tasks.engine.ports import BudgetReached, LeaseLost
from tasks.lifecycle import cancel_run
from tasks.models import Event, Run, Step, StepBody
from tasks.store import calls
from tasks.store.claim import Claimed
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import RESULT, EngineWorld, call_end, call_start, until
from web.ids import new_id


def begin(
    engine: EngineWorld,
    life: Incarnation,
    claimed: Claimed,
    *,
    turn: int = 0,
    cost: float = 0.01,
    **fields: Any,
) -> str:
    return engine.run(_begin(life, claimed, turn=turn, cost=cost, **fields))


async def _begin(
    life: Incarnation, claimed: Claimed, *, turn: int = 0, cost: float = 0.01, **fields: Any
) -> str:
    call_id = new_id("mcall")
    given: dict[str, Any] = {"try_number": 1, "chain_pass": 0, "context": {"user": "Do."}, "events": []}
    await life.journal.begin(
        claimed.work, call_start(cost), call_id=call_id, turn=turn, **{**given, **fields}
    )
    return call_id


@pytest.fixture
def claimed(engine: EngineWorld, life: Incarnation) -> Claimed:
    engine.start(engine.network())
    return engine.claim_one(life)


def test_it_writes_the_call_the_context_and_the_events_together(
    engine: EngineWorld, life: Incarnation, claimed: Claimed
) -> None:
    begin(engine, life, claimed, events=[("step.started", {}), ("agent.request", {})])
    call = ModelCall.objects.get()
    assert (call.state, call.owner, float(call.reserved)) == ("started", life.owner, 0.01)
    assert StepBody.objects.get().context == {"user": "Do."}
    assert list(Event.objects.order_by("seq").values_list("seq", "type")) == [
        (1, "run.started"),
        (2, "step.started"),
        (3, "agent.request"),
    ]
    engine.assert_sound()


def test_it_freezes_the_context_of_the_first_call(
    engine: EngineWorld, life: Incarnation, claimed: Claimed
) -> None:
    begin(engine, life, claimed)
    begin(engine, life, claimed, try_number=2, context={"user": "Something else."})
    assert StepBody.objects.get().context == {"user": "Do."}


@pytest.mark.parametrize("how", ["cancelled", "taken", "given back"])
def test_it_sends_nothing_for_a_step_that_is_no_longer_ours(
    engine: EngineWorld, life: Incarnation, claimed: Claimed, how: str
) -> None:
    if how == "cancelled":
        cancel_run(run_id=claimed.work.run_id)
    else:
        Step.objects.update(**({"fence": 2} if how == "taken" else {"state": "ready", "owner": ""}))
    before = Run.objects.values().get()
    with pytest.raises(LeaseLost):
        begin(engine, life, claimed, events=[("agent.request", {})])
    assert not ModelCall.objects.exists()
    assert Run.objects.values().get() == before


def test_it_keeps_the_first_reply_and_pays_for_both(
    engine: EngineWorld, life: Incarnation, claimed: Claimed
) -> None:
    both = [begin(engine, life, claimed, try_number=number) for number in (1, 2)]
    for call, text in zip(both, ("first", "second"), strict=True):
        engine.run(life.journal.settle(call_end(call, text)))
    journal = engine.run(life.journal.read(claimed.work.id, 0))
    assert journal.replies[0].text == "first"
    assert list(ModelCall.objects.order_by("try_number").values_list("state", flat=True)) == [
        "succeeded",
        "superseded",
    ]
    assert float(Run.objects.get().cost) == 0.04
    engine.assert_sound()


def test_it_settles_once(engine: EngineWorld, life: Incarnation, claimed: Claimed) -> None:
    call = begin(engine, life, claimed)
    for _ in range(2):
        engine.run(life.journal.settle(call_end(call)))
    assert float(Run.objects.get().cost) == 0.02
    engine.assert_sound()


def test_it_takes_a_late_reply_into_the_ledger_only(
    engine: EngineWorld, life: Incarnation, claimed: Claimed
) -> None:
    call = begin(engine, life, claimed)
    cancel_run(run_id=claimed.work.run_id)
    before = Run.objects.get()
    assert engine.finish(life, claimed, RESULT, settle=call_end(call)).stale
    after = Run.objects.get()
    assert (after.state, after.event_seq) == ("cancelled", before.event_seq)
    assert ModelCall.objects.get().state == "succeeded"
    assert float(after.cost) == 0.02
    engine.assert_sound()


def test_it_commits_a_reply_with_the_finish(engine: EngineWorld, life: Incarnation, claimed: Claimed) -> None:
    call = begin(engine, life, claimed)
    output = {"task_complete": True, "result": RESULT, "confidence": 1}
    assert engine.finish(life, claimed, output, settle=call_end(call)).run_state == "succeeded"
    assert ModelCall.objects.get().state == "succeeded"
    engine.assert_sound()


def test_it_estimates_a_call_whose_worker_was_lost_and_corrects_it_later(
    engine: EngineWorld, life: Incarnation, claimed: Claimed
) -> None:
    call = begin(engine, life, claimed, cost=0.5)
    engine.run(life.lease.let_go())
    again = engine.life("w1")
    [orphan] = engine.run(again.sweep.orphans(settled=True, held=()))
    engine.run(again.sweep.recover(orphan))
    assert ModelCall.objects.get().state == "unknown"
    assert float(Run.objects.get().cost) == 0.5
    engine.run(life.journal.settle(call_end(call)))
    assert float(Run.objects.get().cost) == 0.02
    engine.assert_sound()


def test_it_resumes_a_pass_and_forgets_an_older_one(
    engine: EngineWorld, life: Incarnation, claimed: Claimed
) -> None:
    for number, chain_pass in ((1, 0), (2, 1)):
        call = begin(engine, life, claimed, try_number=number, chain_pass=chain_pass)
        engine.run(life.journal.settle(call_end(call, state="failed", cost=0)))
    journal = engine.run(life.journal.read(claimed.work.id, 1))
    assert len(journal.tries[0]) == 1
    assert journal.counts[0] == 2


@pytest.mark.parametrize("when", ["while it is written", "just after"])
def test_it_closes_a_call_that_was_written_for_nobody(
    engine: EngineWorld, life: Incarnation, claimed: Claimed, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async def scenario() -> None:
        asking = asyncio.create_task(_begin(life, claimed))
        write, tell = calls.CallWriter._write, calls._tell

        async def interrupted(writer: calls.CallWriter, batch: Any) -> Any:
            asking.cancel()
            return await write(writer, batch)

        def told(waiting: Any, error: Exception | None) -> None:
            tell(waiting, error)
            asking.cancel()

        if when == "just after":
            monkeypatch.setattr(calls, "_tell", told)
        else:
            monkeypatch.setattr(calls.CallWriter, "_write", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: _states(engine), "the call is closed")

    engine.run(scenario())
    assert ModelCall.objects.get().message == "It was never sent."
    engine.assert_sound()


async def _states(engine: EngineWorld) -> bool:
    async with engine.pool.connection() as connection:
        cursor = await connection.execute("SELECT state FROM agents_modelcall")
        return await cursor.fetchall() == [("cancelled",)]


class TestBudget:
    """Money of one run."""

    def test_it_allows_one_call_while_money_remains(
        self, engine: EngineWorld, life: Incarnation, claimed: Claimed
    ) -> None:
        self._limit(claimed, "0.001")
        begin(engine, life, claimed, cost=5)
        assert ModelCall.objects.count() == 1

    def test_it_holds_back_what_open_calls_may_cost(
        self, engine: EngineWorld, life: Incarnation, claimed: Claimed
    ) -> None:
        self._limit(claimed, "1")
        begin(engine, life, claimed, cost=0.7)
        with pytest.raises(BudgetReached):
            begin(engine, life, claimed, cost=0.7, turn=1)
        begin(engine, life, claimed, cost=0.2, turn=1)

    def test_it_stops_when_the_money_is_spent(
        self, engine: EngineWorld, life: Incarnation, claimed: Claimed
    ) -> None:
        self._limit(claimed, "0.02")
        engine.run(life.journal.settle(call_end(begin(engine, life, claimed))))
        with pytest.raises(BudgetReached):
            begin(engine, life, claimed, turn=1)
        assert Run.objects.get().model_calls == 1
        engine.assert_sound()

    def _limit(self, claimed: Claimed, budget: str) -> None:
        network = Network.objects.get(pk=claimed.work.network_id)
        update_network(network=network, changes={"budget": budget})
