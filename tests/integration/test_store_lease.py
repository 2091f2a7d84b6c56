"""Leases, slots, waits and what time brings: rows move on though no worker is at them."""

import time
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from agents.models import ModelCall
from networks.services import update_network
from tasks.models import Attempt, Event, Run, Step, Worker
from tasks.store.release import Release, release
from tasks.store.sweep import MAX_CRASHES, Orphan
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import RESULT, EngineWorld, decision, states


def orphans(
    engine: EngineWorld, life: Incarnation, *, settled: bool = True, held: tuple[str, ...] = ()
) -> list[Orphan]:
    return engine.run(life.sweep.orphans(settled=settled, held=held))


def lapse(life: Incarnation) -> None:
    """Let a lease be long over, and the database's own grace with it."""
    Worker.objects.filter(pk=life.owner).update(lease_until=timezone.now() - timedelta(minutes=5))


@pytest.fixture
def heir(engine: EngineWorld) -> Incarnation:
    return engine.life("heir", ttl=0.01)


def test_it_leaves_a_step_alone_while_its_lease_lasts(
    engine: EngineWorld, life: Incarnation, heir: Incarnation
) -> None:
    engine.start()
    engine.claim_one(life)
    assert orphans(engine, heir) == []


def test_it_takes_a_step_back_when_the_lease_is_over(
    engine: EngineWorld, life: Incarnation, heir: Incarnation
) -> None:
    run = engine.start()
    old = engine.claim_one(life)
    lapse(life)
    [orphan] = orphans(engine, heir)
    assert engine.run(heir.sweep.recover(orphan)) == "coordinate"
    assert engine.run(heir.sweep.recover(orphan)) is None  # a second sweeper comes too late
    step = Step.objects.get(run=run)
    assert (step.state, step.owner, step.crashes, step.tries) == ("ready", "", 1, 0)
    assert engine.claim_one(heir).work.fence == old.work.fence + 1
    assert engine.finish(life, old).stale
    assert "step.retried" in Event.objects.values_list("type", flat=True)


def test_it_gives_leases_a_full_life_after_its_own_reconnect(
    engine: EngineWorld, life: Incarnation, heir: Incarnation
) -> None:
    engine.start()
    engine.claim_one(life)
    lapse(life)
    assert orphans(engine, heir, settled=False) == []


def test_it_does_not_rob_itself(engine: EngineWorld, heir: Incarnation) -> None:
    engine.start()
    claimed = engine.claim_one(heir)
    lapse(heir)
    Step.objects.update(claimed_at=timezone.now() - timedelta(minutes=5))
    assert orphans(engine, heir, held=(claimed.work.id,)) == []
    assert [orphan.step_id for orphan in orphans(engine, heir)] == [claimed.work.id]  # ours by name only


def test_it_takes_over_from_its_own_slots_last_life_at_once(engine: EngineWorld, life: Incarnation) -> None:
    engine.start()
    claimed = engine.claim_one(life)
    engine.run(life.lease.let_go())  # the lock dies with the process, the lease does not
    again = engine.life("w1")
    assert [orphan.step_id for orphan in orphans(engine, again, settled=False)] == [claimed.work.id]


def test_it_leaves_the_slot_to_whoever_holds_it(engine: EngineWorld, life: Incarnation) -> None:
    engine.start()
    engine.claim_one(life)
    namesake = engine.life("w1")
    assert not namesake.lease.slot_held
    assert orphans(engine, namesake) == []


def test_it_fails_a_step_that_lost_too_many_workers(
    engine: EngineWorld, life: Incarnation, heir: Incarnation
) -> None:
    run = engine.start()
    for _ in range(MAX_CRASHES):
        engine.claim_one(life)
        lapse(life)
        for orphan in orphans(engine, heir):
            engine.run(heir.sweep.recover(orphan))
    assert states(run) == {"coordinate-1": "failed"}
    assert Run.objects.get(pk=run.pk).error_code == "poison"
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"lease_lost"}
    engine.assert_sound()


def test_it_forgets_workers_that_hold_nothing(
    engine: EngineWorld, life: Incarnation, heir: Incarnation
) -> None:
    engine.start()
    engine.claim_one(life)
    idle = engine.life("idle")
    for one in (life, idle):
        lapse(one)
    engine.run(heir.sweep.forget_gone_workers())
    assert set(Worker.objects.values_list("pk", flat=True)) == {life.owner, heir.owner}
    assert not engine.run(idle.lease.renew(draining=False, stale_writes=0))


def test_it_tells_a_worker_what_it_has_lost(engine: EngineWorld, life: Incarnation) -> None:
    network = engine.network()
    for _ in range(3):
        engine.start(network)
    cancelled, taken, kept = engine.claim(life)
    Step.objects.filter(pk=cancelled.work.id).update(state="cancelled", fence=F("fence") + 1)
    Step.objects.filter(pk=taken.work.id).update(fence=F("fence") + 1)
    held = [(item.work.id, item.work.fence) for item in (cancelled, taken, kept)]
    assert set(engine.run(life.lease.lost(held))) == {cancelled.work.id, taken.work.id}


class TestWaiting:
    """Steps that gave their slot back."""

    def back(self, engine: EngineWorld, life: Incarnation, reason: str, seconds: float | None) -> bool:
        claimed = engine.claim_one(life)
        names = claimed.work.id, claimed.work.run_id, claimed.work.fence, life.owner
        return engine.run(release(engine.pool, Release(*names, reason=reason, seconds=seconds, detail="d")))

    def test_it_waits_without_an_owner_and_without_blame(
        self, engine: EngineWorld, life: Incarnation
    ) -> None:
        run = engine.start()
        assert self.back(engine, life, "provider", 60)
        step = Step.objects.get(run=run)
        assert (step.state, step.owner, step.crashes, step.tries, step.releases) == ("waiting", "", 0, 0, 1)
        waiting = Run.objects.get(pk=run.pk)
        assert (waiting.state, waiting.wait_reason, waiting.clock_stopped_at) == ("waiting", "provider", None)
        assert engine.claim(life) == []
        engine.assert_sound()

    def test_it_comes_back_when_its_time_has_come(self, engine: EngineWorld, life: Incarnation) -> None:
        engine.start()
        self.back(engine, life, "rate_limit", 0)
        assert engine.run(life.sweep.wake_due()) == 1
        assert engine.claim_one(life).work.fence == 2

    def test_it_goes_straight_back_to_the_queue_when_a_worker_leaves(
        self, engine: EngineWorld, life: Incarnation
    ) -> None:
        run = engine.start()
        self.back(engine, life, "", None)
        assert states(run) == {"coordinate-1": "ready"}
        assert Run.objects.get(pk=run.pk).state == "running"
        assert Attempt.objects.get().outcome == "released"

    def test_it_stops_the_clock_only_for_money(self, engine: EngineWorld, life: Incarnation) -> None:
        network = engine.network(budget="1")
        run = engine.start(network)
        self.back(engine, life, "budget", 0)
        Run.objects.update(cost=2, clock_stopped_at=timezone.now() - timedelta(minutes=10))
        Step.objects.update(deadline_at=F("created_at"))
        assert engine.run(life.sweep.wake_due()) == 0
        assert engine.run(life.sweep.overdue_runs()) == []
        update_network(network=network, changes={"budget": "5"})
        before = Run.objects.get(pk=run.pk)
        assert engine.run(life.sweep.wake_due()) == 1
        after = Run.objects.get(pk=run.pk)
        assert (after.state, after.clock_stopped_at) == ("running", None)
        assert after.deadline_at and before.deadline_at  # noqa: PT018
        assert after.deadline_at - before.deadline_at > timedelta(minutes=9)
        step = Step.objects.get(run=run)
        assert step.deadline_at
        assert step.deadline_at - step.created_at > timedelta(minutes=9)
        assert Event.objects.filter(type="run.resumed").count() == 1

    def test_it_waits_with_the_run_when_the_last_worker_of_it_ends(
        self, engine: EngineWorld, life: Incarnation
    ) -> None:
        first, second = engine.delegated(life, 2)
        names = first.work.id, first.work.run_id, first.work.fence, life.owner
        assert engine.run(release(engine.pool, Release(*names, reason="budget", seconds=60)))
        assert Run.objects.get().state == "running"  # the other one is at work
        assert engine.finish(life, second).run_state == "waiting"
        run = Run.objects.get()
        assert (run.state, run.wait_reason) == ("waiting", "budget")
        assert run.clock_stopped_at is not None
        engine.assert_sound()


def test_it_fails_a_run_that_is_out_of_time(engine: EngineWorld, life: Incarnation) -> None:
    run = engine.start()
    claimed = engine.claim_one(life)
    Run.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    assert engine.run(life.sweep.overdue_runs()) == [run.pk]
    assert engine.run(life.sweep.time_out(run.pk)) is not None
    assert engine.run(life.sweep.time_out(run.pk)) is None
    assert states(run) == {"coordinate-1": "cancelled"}
    assert engine.finish(life, claimed).stale
    engine.assert_sound()


def test_it_goes_on_without_a_straggler(engine: EngineWorld, life: Incarnation) -> None:
    network = engine.network()
    slow, quick = engine.delegated(life, 2, network=network)
    engine.finish(life, quick)
    Step.objects.filter(pk=slow.work.id).update(deadline_at=timezone.now() - timedelta(seconds=1))
    [end] = engine.run(life.sweep.overdue_steps())
    engine.run(life.sweep.end_step(end))
    assert Step.objects.get(pk=slow.work.id).error_code == "straggler"
    assert [item.work.kind for item in engine.claim(life)] == ["synthesize"]
    assert engine.finish(life, slow).stale
    engine.assert_sound()


def test_it_never_drops_a_required_part(engine: EngineWorld, life: Incarnation) -> None:
    network = engine.network()
    engine.start(network)
    engine.finish(life, engine.claim_one(life), decision(network, 2, required=True))
    assert not Step.objects.filter(kind="delegate").exclude(deadline_at=None).exists()


def test_it_knows_when_the_next_thing_is_due(engine: EngineWorld, life: Incarnation) -> None:
    assert engine.run(life.sweep.seconds_to_next()) is None
    engine.start(engine.network(timeout_seconds=100))
    nearest = engine.run(life.sweep.seconds_to_next())
    assert nearest is not None
    assert 90 < nearest <= 100


@pytest.mark.parametrize("hours", [-1, 1])
def test_it_goes_by_the_databases_clock(
    engine: EngineWorld, heir: Incarnation, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + hours * 3600 * 10**9)
    skewed = engine.life("skewed")
    parts = engine.delegated(skewed, 3)
    engine.run(skewed.lease.renew(draining=False, stale_writes=0))
    monkeypatch.undo()
    assert orphans(engine, heir) == []
    for part in parts:
        engine.finish(skewed, part)
    engine.finish(heir, engine.claim_one(heir), RESULT)
    assert Run.objects.get().state == "succeeded"
    engine.assert_sound()


def test_it_charges_a_run_for_calls_that_nobody_will_settle(engine: EngineWorld) -> None:
    run = engine.start()
    life = engine.life("w2")
    ModelCall.objects.create(
        id="mcall_1",
        project_id=run.project_id,
        run_id=run.pk,
        owner=life.owner,
        provider="anthropic",
        model="m",
        requested_model="m",
        reserved="0.5",
        started_at=timezone.now() - timedelta(hours=1),
    )
    Run.objects.update(model_calls=1)
    engine.run(life.sweep.close_stale_calls())
    assert ModelCall.objects.get().state == "unknown"
    assert float(Run.objects.get(pk=run.pk).cost) == 0.5
    engine.assert_sound()
