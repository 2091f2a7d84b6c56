"""Claiming: one owner for each step, fair between projects, the urgent first."""

from collections import Counter
from datetime import timedelta

import pytest
from django.db.models import F

from networks.services import create_project
from tasks.models import Run, Step
from tests.integration.engine_world import EngineWorld


def test_it_gives_each_step_to_one_of_those_who_race(engine: EngineWorld) -> None:
    network = engine.network()
    for _ in range(12):
        engine.start(network)
    lives = [engine.life("w1"), engine.life("w2")]
    claimed = engine.together(*(life.claims.claim(4) for life in lives for _ in range(3)))
    won = [item.work.id for batch in claimed for item in batch]
    assert len(won) == len(set(won))
    won += [item.work.id for item in engine.claim(lives[0])]  # what a lost race left
    assert len(set(won)) == 12
    assert set(Step.objects.values_list("fence", flat=True)) == {1}


def test_it_touches_no_run(engine: EngineWorld) -> None:
    before = Run.objects.values().get(pk=engine.start().pk)
    assert engine.claim(engine.life())
    assert Run.objects.values().get() == before


def test_it_is_fair_to_a_project_with_a_tenth_of_the_load(engine: EngineWorld) -> None:
    busy, quiet = engine.network(), engine.network(project=create_project(name="Quiet"))
    for network, count in ((busy, 30), (quiet, 3)):
        for _ in range(count):
            engine.start(network)
    first = Counter(item.work.project_id for item in engine.claim(engine.life(), 6))
    assert first == {busy.project_id: 3, quiet.project_id: 3}


def test_it_counts_what_a_project_has_in_flight(engine: EngineWorld) -> None:
    life, busy = engine.life(), engine.network()
    for _ in range(10):
        engine.start(busy)
    engine.claim(life, 5)
    quiet = engine.network(project=create_project(name="Quiet"))
    for _ in range(5):
        engine.start(quiet)
    assert {item.work.project_id for item in engine.claim(life, 5)} == {quiet.project_id}


def test_it_gives_a_weighty_project_its_share(engine: EngineWorld) -> None:
    heavy = create_project(name="Heavy")
    heavy.weight = 3
    heavy.save()
    for network in (engine.network(), engine.network(project=heavy)):
        for _ in range(8):
            engine.start(network)
    shares = Counter(item.work.project_id for item in engine.claim(engine.life(), 8))
    assert shares[heavy.pk] == 6


def test_it_takes_the_urgent_first(engine: EngineWorld) -> None:
    network = engine.network()
    runs = {priority: engine.start(network, priority=priority).pk for priority in (1, 10, 5)}
    life = engine.life()
    order = [engine.claim(life, 1)[0].work.run_id for _ in runs]
    assert order == [runs[10], runs[5], runs[1]]


def test_it_lets_what_has_waited_long_overtake_the_urgent(engine: EngineWorld) -> None:
    network = engine.network()
    old = engine.start(network, priority=1)
    Step.objects.update(rank=F("rank") - timedelta(minutes=5))
    engine.start(network, priority=10)
    assert engine.claim(engine.life(), 1)[0].work.run_id == old.pk


@pytest.mark.parametrize("change", [{"kind": "dance"}, {"version": 99}])
def test_it_leaves_steps_to_builds_that_know_them(engine: EngineWorld, change: dict[str, object]) -> None:
    engine.start()
    Step.objects.update(**change)
    assert engine.claim(engine.life()) == []


def test_it_hands_over_all_that_the_executor_needs(engine: EngineWorld) -> None:
    network = engine.network(timeout_seconds=60)
    engine.start(network, description="Write", context={"product": "X1"})
    claimed = engine.claim_one(engine.life())
    assert claimed.work.run_input["context"] == {"product": "X1"}
    assert claimed.work.snapshot.coordinator.type == "coordinator"
    assert len(claimed.work.snapshot.specialists) == 4
    assert claimed.seconds_left is not None
    assert 50 < claimed.seconds_left <= 60


def test_it_works_on_the_network_as_it_was_at_the_start(engine: EngineWorld) -> None:
    network = engine.network()
    engine.start(network)
    network.agents.update(system_prompt="Changed since")
    prompts = {agent.system_prompt for agent in engine.claim_one(engine.life()).work.snapshot.agents.values()}
    assert "Changed since" not in prompts
