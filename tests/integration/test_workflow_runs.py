"""Graphs are run by a worker to their end."""

from typing import Any

import pytest

from tasks.models import Run, Step
from tasks.store.claim import Claimed
from tasks.store.finish import StepEnd
from tasks.worker.incarnation import Incarnation
from tasks.workflow_runs import start_workflow_run
from tests.integration.engine_world import EngineWorld, end_of, states
from tests.integration.loop_world import Model, ended, worker
from tests.integration.workflow_world import agent, events, graph, output, start, step, version
from workflows.models import WorkflowVersion


def run_all(engine: EngineWorld, life: Incarnation, *runs: Run, model: Model | None = None) -> None:
    async def scenario() -> None:
        async with worker(life, model or Model()):
            await ended(engine, *runs)

    engine.run(scenario())


def node(type_: str, **config: Any) -> dict[str, Any]:
    return {"type": type_, "config": config}


def test_it_goes_along_a_line_with_templates(engine: EngineWorld, life: Incarnation) -> None:
    writer = agent(engine, system_prompt="You write.")
    draft = {
        "type": "agent",
        "agent_id": writer.pk,
        "config": {"prompt": "Write about {{ input.topic }}.", "writes": {"words": "{{ len(output.text) }}"}},
    }
    finish = node("end", output={"said": "{{ nodes.draft.output.text }}", "words": "{{ context.words }}"})
    run = start(engine, graph("start-draft", "draft-end", draft=draft, end=finish), {"topic": "rain"})
    model = Model("It rains.")
    run_all(engine, life, run, model=model)
    assert output(run) == {"said": "It rains.", "words": 9}
    [request] = model.requests
    assert request.messages[0].content.startswith("You write.")
    assert request.messages[1].content == "Write about rain."
    assert events(run) == [
        "run.started",
        *("step.started", "step.completed"),
        *("step.started", "agent.request", "agent.response", "step.completed"),
        *("step.started", "step.completed", "run.completed"),
    ]
    assert step(run, "draft").body.input == {"prompt": "Write about rain."}
    engine.assert_sound()


def test_it_takes_one_way_of_a_branch_and_skips_the_others(engine: EngineWorld, life: Incarnation) -> None:
    writer = agent(engine)
    ways = {name: {"type": "agent", "agent_id": writer.pk} for name in ("a", "b", "c")}
    body = graph(
        *("start-w", "w-a?input.n > 5", "w-b?input.n > 2", "w-c", "a-j", "b-j", "c-j", "j-end"),
        w="branch",
        **ways,
    )
    run = start(engine, body, {"n": 4})
    run_all(engine, life, run)
    assert states(run) == {
        **dict.fromkeys(("start", "w", "b", "j", "end"), "succeeded"),
        **dict.fromkeys(("a", "c"), "skipped"),
    }
    engine.assert_sound()


def test_it_joins_parallel_branches(engine: EngineWorld, life: Incarnation) -> None:
    writer = agent(engine)
    names = [f"a{number}" for number in range(8)]
    body = graph(
        "start-p", *(f"p-{name}" for name in names), *(f"{name}-j" for name in names), "j-end",
        p="parallel", **{name: {"type": "agent", "agent_id": writer.pk} for name in names},
    )  # fmt: skip
    run = start(engine, body, {"topic": "rain"})
    run_all(engine, life, run)
    assert set(states(run).values()) == {"succeeded"}
    assert Run.objects.get(pk=run.pk).model_calls == 8
    engine.assert_sound()


def join(
    engine: EngineWorld, life: Incarnation, other: Incarnation, made: WorkflowVersion, count: int
) -> None:
    """All agents end at once; behind the join another works, so that what was joined can be counted."""
    run = start_workflow_run(project=engine.project, version=made, input={})
    edges = made.graph["edges"]

    def end(claimed: Claimed) -> StepEnd:
        taken = tuple(edge["id"] for edge in edges if edge["from_node_id"] == claimed.work.key)
        return end_of(life, claimed, {}, taken=taken)

    parts = engine.claim(life)
    assert len(parts) == count
    finished = engine.together(*(life.finish.finish(end(part)) for part in parts))
    assert sum(len(one.ready) + len(one.claimed) for one in finished) == 1
    after = engine.claim(life) + engine.claim(other)
    assert [claimed.work.key for claimed in after] == ["after"]
    engine.run(life.finish.finish(end(after[0])))
    assert Run.objects.get(pk=run.pk).state == "succeeded"
    assert Step.objects.filter(run=run, key="j").count() == 1


def wide(engine: EngineWorld, count: int) -> WorkflowVersion:
    writer = agent(engine)
    names = [f"a{number}" for number in range(count)]
    body = graph(
        *("start-p", *(f"p-{name}" for name in names), *(f"{name}-j" for name in names)),
        *("j-after", "after-end"),
        p="parallel",
        **{name: {"type": "agent", "agent_id": writer.pk} for name in (*names, "after")},
    )
    return version(engine, body)


def test_it_joins_thirty_two_that_end_together_once(engine: EngineWorld, life: Incarnation) -> None:
    other, made = engine.life("w2"), wide(engine, 32)
    for _ in range(50):
        join(engine, life, other, made, 32)
    engine.assert_sound()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_it_joins_a_thousand_times(engine: EngineWorld, life: Incarnation) -> None:
    other, made = engine.life("w2"), wide(engine, 32)
    for _ in range(1_000):
        join(engine, life, other, made, 32)
    engine.assert_sound()
