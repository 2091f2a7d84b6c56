"""The workflows that the demo project begins with run to their ends."""

from typing import Any

import pytest

from agents.models import Agent, Tool
from tasks import approvals, dialogs
from tasks.models import Approval, Run
from tasks.worker.incarnation import Incarnation
from tasks.workflow_runs import start_workflow_run
from tests.integration.dialog_world import say
from tests.integration.engine_world import EngineWorld, states, until
from tests.integration.loop_world import Model, ended, worker
from tests.integration.workflow_world import asks, output
from workflows.examples import example_documents, load_examples
from workflows.models import Workflow
from workflows.selectors import version_to_run

NAMES = {"Campaign brief with approval", "Support triage", "Content localisation", "Appointment by phone"}


@pytest.fixture
def examples(engine: EngineWorld) -> dict[str, Workflow]:
    return {workflow.name: workflow for workflow in load_examples(engine.project)}


def begin(engine: EngineWorld, workflow: Workflow, **changes: Any) -> Run:
    sample = next(d["sample_input"] for d in example_documents() if d["name"] == workflow.name)
    return start_workflow_run(
        project=engine.project, version=version_to_run(workflow), input={**sample, **changes}
    )


def run_all(engine: EngineWorld, life: Incarnation, *runs: Run) -> None:
    async def scenario() -> None:
        async with worker(life, Model()):
            await ended(engine, *runs)

    engine.run(scenario())


def wait_for_approval(engine: EngineWorld, life: Incarnation, run: Run) -> Approval:
    async def scenario() -> None:
        async with worker(life, Model()):
            await until(lambda: asks(engine), "somebody is asked", 20)

    engine.run(scenario())
    return Approval.objects.get(run=run)


def test_they_are_loaded_published_and_once(engine: EngineWorld, examples: dict[str, Workflow]) -> None:
    assert set(examples) == NAMES
    assert all(workflow.published == 1 for workflow in examples.values())
    made = (Agent.objects.count(), Tool.objects.count())
    assert load_examples(engine.project) == []
    assert (Agent.objects.count(), Tool.objects.count()) == made
    assert Workflow.objects.count() == len(NAMES)


def test_a_brief_waits_for_its_approval_and_is_produced(
    engine: EngineWorld, life: Incarnation, examples: dict[str, Workflow]
) -> None:
    run = begin(engine, examples["Campaign brief with approval"])
    approval = wait_for_approval(engine, life, run)
    assert approval.data is not None
    assert set(approval.data) == {"headline", "promise", "audience", "channels"}
    changed = {**approval.data, "headline": "Two days on one charge"}
    approvals.decide(approval_id=approval.pk, decision="edit", output=changed, decided_by="Ann")
    run_all(engine, life, run)
    result = output(run)
    assert result["status"] == "approved"
    assert result["brief"] == changed
    assert result["copy"]
    assert result["media_plan"]["text"]
    engine.assert_sound()


def test_a_rejected_brief_ends_with_the_reason(
    engine: EngineWorld, life: Incarnation, examples: dict[str, Workflow]
) -> None:
    run = begin(engine, examples["Campaign brief with approval"])
    approval = wait_for_approval(engine, life, run)
    approvals.decide(approval_id=approval.pk, decision="reject", comment="Too dear.", decided_by="Ann")
    run_all(engine, life, run)
    assert Run.objects.get(pk=run.pk).state == "succeeded"
    assert (output(run)["status"], output(run)["reason"]) == ("rejected", "Too dear.")
    assert states(run)["copy"] == "skipped"
    engine.assert_sound()


@pytest.mark.parametrize(
    ("message", "way"),
    [
        ("I was charged twice and want a refund.", "billing"),
        ("The whole site is down!", "incident"),
        ("How do I change my password?", "answer"),
    ],
)
def test_a_message_is_answered_by_whom_it_concerns(
    engine: EngineWorld, life: Incarnation, examples: dict[str, Workflow], message: str, way: str
) -> None:
    run = begin(engine, examples["Support triage"], message=message)
    run_all(engine, life, run)
    ways = {name: states(run)[name] for name in ("billing", "incident", "answer")}
    assert ways == {name: "succeeded" if name == way else "skipped" for name in ways}
    assert output(run)["reply"].startswith("Hello Ann Example,\n\n")
    engine.assert_sound()


def test_they_need_no_more_than_they_require(
    engine: EngineWorld, life: Incarnation, examples: dict[str, Workflow]
) -> None:
    given = {"Support triage": {"message": "Hello?"}, "Content localisation": {"text": "It rains."}}
    runs = [
        start_workflow_run(project=engine.project, version=version_to_run(examples[name]), input=input)
        for name, input in given.items()
    ]
    run_all(engine, life, *runs)
    assert {Run.objects.get(pk=run.pk).state for run in runs} == {"succeeded"}


def test_a_text_is_translated_three_times_at_once(
    engine: EngineWorld, life: Incarnation, examples: dict[str, Workflow]
) -> None:
    run = begin(engine, examples["Content localisation"])
    run_all(engine, life, run)
    result = output(run)
    assert set(result["translations"]) == {"de", "fr", "es"}
    assert all(result["translations"].values())
    assert isinstance(result["review"]["ready"], bool)
    assert Run.objects.get(pk=run.pk).model_calls == 5
    engine.assert_sound()


@pytest.mark.parametrize(
    ("said", "came"),
    [
        (
            [{"choice": "appointment"}, {"choice": "Monday"}, {"text": "Ann"}, {"choice": "yes"}, {}],
            {"topic": "appointment", "day": "Monday", "name": "Ann", "order": None, "noted": True},
        ),
        (
            [{"choice": "order"}, {"digits": "4711"}],
            {"topic": "order", "day": None, "name": None, "order": "4711", "noted": False},
        ),
        ([{"choice": None}], {"topic": None, "day": None, "name": None, "order": None, "noted": False}),
    ],
)
def test_a_caller_is_led_to_the_agent_on_every_way(
    engine: EngineWorld, examples: dict[str, Workflow], said: list[dict[str, Any]], came: dict[str, Any]
) -> None:
    workflow = examples["Appointment by phone"]
    state = dialogs.start(project=engine.project, workflow_id=workflow.pk, input={"call_id": "call_1"})
    for answer in ({"heard": "Welcome."}, *said):
        state = say(state, **{"choice": None, "digits": "", "text": "", **answer})
    assert state.prompt is not None
    assert (state.prompt.kind, state.prompt.body["to"]) == ("hand_over", "agent")
    assert say(state, to="agent").over
    assert output(Run.objects.get(pk=state.run_id)) == came
    engine.assert_sound()
