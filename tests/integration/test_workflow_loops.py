"""Loops, and tasks that a workflow gives to networks."""

from typing import Any

import pytest

from tasks.lifecycle import cancel_run
from tasks.models import Run, Step
from tasks.worker.incarnation import Incarnation
from tasks.workflow_runs import retry_from
from tests.integration.engine_world import EngineWorld, states, until
from tests.integration.loop_world import Model, worker
from tests.integration.test_workflow_runs import run_all
from tests.integration.workflow_world import agent, events, graph, output, start, step


def looped(engine: EngineWorld, **config: Any) -> dict[str, Any]:
    writer = agent(engine)
    write = {
        "type": "agent",
        "agent_id": writer.pk,
        "config": {"prompt": "Round {{ loop.round }}.", "writes": {"text": "{{ output.text }}"}},
    }
    return graph(
        *("start-again", "again-write:body", "write-again", "again-end"),
        again={"type": "loop", "config": {"max_rounds": 3, **config}},
        write=write,
        end={"type": "end", "config": {"output": "{{ context.text }}"}},
    )


def test_it_goes_round_as_often_as_it_may(engine: EngineWorld, life: Incarnation) -> None:
    run = start(engine, looped(engine))
    model = Model("one", "two", "three")
    run_all(engine, life, run, model=model)
    assert output(run) == "three"
    assert [request.messages[1].content for request in model.requests] == ["Round 0.", "Round 1.", "Round 2."]
    assert set(states(run)) == {
        *("start", "again.0", "again.1", "again.2", "again.3"),
        *("write.0", "write.1", "write.2", "end"),
    }
    engine.assert_sound()


def test_it_ends_a_loop_when_its_condition_does_not_hold(engine: EngineWorld, life: Incarnation) -> None:
    run = start(engine, looped(engine, **{"while": "context.text != 'two'"}))
    run_all(engine, life, run, model=Model("one", "two", "three"))
    assert output(run) == "two"


def test_it_names_the_place_of_a_template_that_fails(engine: EngineWorld, life: Incarnation) -> None:
    body = graph("start-end", end={"type": "end", "config": {"output": "{{ input.nothing.there }}"}})
    run = start(engine, body)
    run_all(engine, life, run)
    failed = Run.objects.get(pk=run.pk)
    assert failed.error_code == "expression_error"
    assert failed.error_detail.startswith("node end, output: ")
    engine.assert_sound()


def tasked(engine: EngineWorld) -> dict[str, Any]:
    config = {"network_id": engine.network().pk, "task": "Plan {{ input.what }}"}
    return graph("start-job", "job-end", job={"type": "task", "config": config})


def test_it_waits_for_a_networks_result(engine: EngineWorld, life: Incarnation) -> None:
    run = start(engine, tasked(engine), {"what": "a launch"})
    run_all(engine, life, run)
    child = Run.objects.get(parent_step_id=step(run, "job").pk)
    assert (child.state, child.task.description if child.task else "") == ("succeeded", "Plan a launch")
    assert output(run)["run_id"] == child.pk
    assert output(run)["content"]
    assert step(run, "job").fence == 2, "claimed to begin and to end"
    engine.assert_sound()


def test_it_fails_with_the_networks_task(engine: EngineWorld, life: Incarnation) -> None:
    run = start(engine, tasked(engine), {"what": "x"})
    child = wait_for_child(engine, life)
    cancel_run(run_id=child.pk)
    run_all(engine, life, run)
    assert Run.objects.get(pk=run.pk).error_code == "task_cancelled"
    engine.assert_sound()


def test_it_cancels_the_networks_task_with_its_run(engine: EngineWorld, life: Incarnation) -> None:
    run = start(engine, tasked(engine), {"what": "x"})
    child = wait_for_child(engine, life)
    cancel_run(run_id=run.pk)
    child.refresh_from_db()
    assert child.state == "cancelled"
    engine.assert_sound()


def wait_for_child(engine: EngineWorld, life: Incarnation) -> Run:
    """Let the step start its task and wait; the task's model never answers."""

    async def waiting() -> bool:
        async with engine.pool.connection() as connection:
            cursor = await connection.execute("SELECT count(*) FROM tasks_step WHERE wait_reason = 'run'")
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def scenario() -> None:
        model = Model()
        model.gate.clear()
        async with worker(life, model):
            await until(waiting, "the step waits")
            await until(lambda: model.requests, "its task's model is asked: no transaction is cut off")

    engine.run(scenario())
    return Run.objects.get(planner="delegation")


@pytest.mark.parametrize("from_step", [True, False])
def test_it_runs_again_from_a_step_with_what_went_before(
    engine: EngineWorld, life: Incarnation, from_step: bool
) -> None:
    writer = agent(engine)
    first = {"type": "agent", "agent_id": writer.pk, "config": {"prompt": "First."}}
    second = {
        "type": "agent",
        "agent_id": writer.pk,
        "config": {"prompt": "{{ nodes.first.output.text }}, {{ input.x }}"},
    }
    run = start(
        engine, graph("start-first", "first-second", "second-end", first=first, second=second), {"x": 1}
    )
    run_all(engine, life, run, model=Model("A", "B"))
    chosen = step(run, "second").pk if from_step else None
    again = retry_from(run=run, from_step_id=chosen, input={"x": 2})
    model = Model("C") if from_step else Model("A", "C")
    run_all(engine, life, again, model=model)
    assert output(again) == {"text": "C"}
    assert model.requests[-1].messages[1].content == "A, 2"
    assert Run.objects.get(pk=again.pk).model_calls == (1 if from_step else 2)
    assert Run.objects.get(pk=again.pk).replayed_from_id == run.pk
    assert Step.objects.filter(run=again).count() == 4
    assert events(again)[0] == "run.started"
    engine.assert_sound()
