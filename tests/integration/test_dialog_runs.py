"""Runs that lead a call, seen from their side: prompts wait, answers end them once, the next one is there at once."""

from collections.abc import Mapping
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from tasks import dialogs
from tasks.lifecycle import requeue_run
from tasks.models import Event, Run
from tasks.run_services import retry
from tasks.schedules.services import create_schedule
from tasks.triggers.services import create_trigger
from tasks.worker.incarnation import Incarnation
from tests.integration import workflow_world
from tests.integration.dialog_world import appointment, begin, node, published, say
from tests.integration.engine_world import EngineWorld, states, until
from tests.integration.loop_world import Model, worker
from tests.integration.workflow_world import agent, graph, output
from web.problems import Conflict, NotFound, Problem
from workflows.models import Workflow


def key(state: dialogs.DialogState) -> str:
    return state.prompt.key if state.prompt else state.state


def body_of(state: dialogs.DialogState) -> Mapping[str, Any]:
    assert state.prompt is not None
    return state.prompt.body


def test_a_dialog_goes_from_prompt_to_prompt_without_a_worker(engine: EngineWorld) -> None:
    state = begin(engine, appointment(), call_id="call_1")
    assert (key(state), body_of(state)["text"]) == ("welcome", "Welcome to the practice.")
    way = [key(state)]
    for said in (
        {"heard": "Welcome to the practice."},
        {"choice": "appointment", "matched": True},
        {"choice": "thursday", "matched": True},
        {"text": "Ann", "matched": True},
        {"choice": "yes", "matched": True},
        {"heard": "It is booked for thursday."},
        {"to": "agent"},
    ):
        state = say(state, **said)
        way.append(key(state))
    assert way == ["welcome", "topic", "day", "name", "sure", "booked", "agent", "succeeded"]
    run = Run.objects.get(pk=state.run_id)
    assert run.source == "call"
    assert states(run)["order"] == "skipped"
    types = list(Event.objects.filter(run=run).order_by("seq").values_list("type", flat=True))
    assert types.count("dialog.prompted") == types.count("dialog.answered") == 7
    engine.assert_sound()


def test_what_was_said_fills_the_next_prompt_and_the_brief(engine: EngineWorld) -> None:
    state = say(say(begin(engine, appointment())), choice="appointment")
    state = say(say(state, choice="monday"), text="Ann")
    assert body_of(state)["text"] == "You want to come on monday, is that right?"
    state = say(say(state, choice="no"))
    assert body_of(state)["to"] == "agent"
    assert body_of(state)["brief"] == "Ann comes on monday."
    assert body_of(state)["context"] == {"day": "monday", "name": "Ann"}


def test_a_prompt_is_answered_once(engine: EngineWorld) -> None:
    first = begin(engine, appointment())
    say(first)
    with pytest.raises(dialogs.NotAwaited):
        say(first)
    now = dialogs.look(run_id=first.run_id)
    assert key(now) == "topic"
    dialogs.leave(run_id=first.run_id, reason="caller_left")
    with pytest.raises(dialogs.NotAwaited):
        say(now, choice="order")
    ended = Event.objects.filter(run_id=first.run_id).latest("seq")
    assert (ended.type, ended.payload) == ("run.cancelled", {"reason": "caller_left"})
    engine.assert_sound()


def test_a_step_that_the_caller_could_not_do_takes_its_error_edge(engine: EngineWorld) -> None:
    body = graph(
        "start-over",
        "over-end",
        "over-sorry:error",
        "sorry-end",
        over=node("hand_over", to="person", target="+15005550099", on_error="route"),
        sorry=node("say", text="Nobody is there."),
    )
    state = say(begin(engine, body), error="transfer_failed")
    assert key(state) == "sorry"
    assert key(say(state)) == "succeeded"
    plain = graph("start-over", "over-end", over=node("hand_over", to="person", target="+15005550099"))
    failed = say(begin(engine, {**plain}), error="transfer_failed")
    assert (failed.state, failed.error_code) == ("failed", "transfer_failed")
    engine.assert_sound()


def test_agents_work_between_prompts_and_workers_find_the_next_one(
    engine: EngineWorld, life: Incarnation
) -> None:
    body = graph(
        "start-what",
        "what-think",
        "think-tell",
        "tell-end",
        what=node("ask", text="What is it about?"),
        think={
            "type": "agent",
            "agent_id": agent(engine).pk,
            "config": {"prompt": "{{ nodes.what.output.text }}"},
        },
        tell=node("say", text="{{ nodes.think.output.text }}"),
    )
    state = say(begin(engine, body), text="A refund.", matched=True)
    assert (state.prompt, state.state) == (None, "running")

    async def scenario() -> None:
        async with worker(life, Model("You get it back.")):
            look = sync_to_async(dialogs.look, thread_sensitive=False)

            async def asked() -> bool:
                return (await look(run_id=state.run_id)).prompt is not None

            await until(asked, "the next prompt", 20)

    engine.run(scenario())
    told = dialogs.look(run_id=state.run_id)
    assert (key(told), body_of(told)["text"]) == ("tell", "You get it back.")
    assert requeue_run(run_id=state.run_id) == 0
    assert key(say(told)) == "succeeded"
    engine.assert_sound()


def test_nothing_else_starts_what_needs_a_caller(engine: EngineWorld) -> None:
    id_ = published(engine, appointment())
    workflow = Workflow.objects.get(pk=id_)
    for start in (
        lambda: workflow_world.start(engine, appointment()),
        lambda: create_schedule(workflow=workflow, values={"cron": "0 8 * * *"}),
        lambda: create_trigger(workflow=workflow, values={"name": "Hook"}),
    ):
        with pytest.raises(Problem) as refused:
            start()
        assert refused.value.code == "invalid_workflow"
        assert {error.code for error in refused.value.errors} == {"needs_a_caller"}
    state = dialogs.start(project=engine.project, workflow_id=id_, input={})
    dialogs.leave(run_id=state.run_id, reason="caller_left")
    with pytest.raises(Problem):
        retry(run=Run.objects.get(pk=state.run_id))


def test_a_call_runs_published_workflows_of_its_project_only(engine: EngineWorld) -> None:
    made = workflow_world.version(engine, appointment())
    with pytest.raises(Conflict):
        dialogs.start(project=engine.project, workflow_id=made.workflow_id, input={})
    with pytest.raises(NotFound):
        dialogs.start(project=engine.project, workflow_id="workflow_none", input={})


def test_an_ordinary_workflow_can_be_run_on_a_call(engine: EngineWorld, life: Incarnation) -> None:
    body = graph("start-end", end=node("end", output="{{ input.from }}"))
    state = dialogs.start(
        project=engine.project, workflow_id=published(engine, body), input={"from": "+15005550001"}
    )
    assert state.over
    assert output(Run.objects.get(pk=state.run_id)) == "+15005550001"
    engine.assert_sound()
