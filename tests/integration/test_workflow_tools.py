"""Tools are called by nodes and by agents: written down before, once, and never again when it may do harm."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents.models import Tool, ToolCall
from agents.providers.types import ToolCall as Wanted
from agents.tools.base import Effect, ToolFailed
from agents.tools.function import FUNCTIONS, tool_function
from tasks.approvals import decide
from tasks.models import Approval, Run, Step
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import EngineWorld, decision, until
from tests.integration.loop_world import Model, ended, worker
from tests.integration.test_workflow_runs import run_all
from tests.integration.workflow_world import agent, asks, events, graph, output, start, step

OBJECT = {"type": "object"}


class Calls:
    """What the tools of a test were called with; `fails` are the errors of the next calls, `hangs` holds them."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.fails: list[ToolFailed] = []
        self.hangs = False

    async def __call__(self, **arguments: Any) -> Any:
        self.seen.append(arguments)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise self.fails.pop(0)
        return {"got": arguments, "number": len(self.seen)}


@pytest.fixture
def calls() -> Iterator[Calls]:
    calls = Calls()

    async def unsafe(**arguments: Any) -> Any:
        """Do it."""
        return await calls(**arguments)

    async def safe(**arguments: Any) -> Any:
        """Look it up."""
        return await calls(**arguments)

    tool_function("test.unsafe", input_schema=OBJECT)(unsafe)
    tool_function("test.safe", input_schema=OBJECT, effect=Effect.READ_ONLY)(safe)
    yield calls
    del FUNCTIONS["test.unsafe"], FUNCTIONS["test.safe"]


def tool(engine: EngineWorld, name: str = "unsafe") -> Tool:
    return Tool.objects.create(
        project=engine.project, name=name, type="function", config={"function": f"test.{name}"}
    )


def called(engine: EngineWorld, name: str = "unsafe", **config: Any) -> dict[str, Any]:
    return {"type": "tool", "tool_id": tool(engine, name).pk, "config": config}


def test_it_calls_the_tool_of_a_node(engine: EngineWorld, life: Incarnation, calls: Calls) -> None:
    book = called(engine, input={"who": "{{ input.name }}"})
    run = start(engine, graph("start-book", "book-end", book=book), {"name": "Ann"})
    run_all(engine, life, run)
    assert calls.seen == [{"who": "Ann"}]
    assert output(run) == {"got": {"who": "Ann"}, "number": 1}
    assert step(run, "book").body.input == {"who": "Ann"}
    [call] = ToolCall.objects.all()
    assert (call.state, call.idempotency_key) == ("succeeded", f"{call.step_id}:0:0")
    assert events(run)[3:7] == ["step.started", "tool.request", "tool.response", "step.completed"]
    engine.assert_sound()


def test_it_gives_agents_their_tools_in_a_loop(engine: EngineWorld, life: Incarnation, calls: Calls) -> None:
    writer = agent(engine, tools=[tool(engine, "safe").pk])
    node = {"type": "agent", "agent_id": writer.pk, "config": {"prompt": "Go."}}
    run = start(engine, graph("start-a", "a-end", a=node))
    model = Model(
        [Wanted("1", "safe", {"a": 1}), Wanted("2", "safe", {"a": 2}), Wanted("3", "nothing", {})], "Done."
    )
    run_all(engine, life, run, model=model)
    assert sorted(call["a"] for call in calls.seen) == [1, 2]
    assert output(run) == {"text": "Done."}
    told = [message.content for message in model.requests[1].messages if message.role == "tool"]
    assert '"result"' in told[0]
    assert "There is no tool 'nothing'" in told[2]
    assert Run.objects.get(pk=run.pk).model_calls == 2
    engine.assert_sound()


def test_it_stops_a_model_that_only_calls_tools(engine: EngineWorld, life: Incarnation, calls: Calls) -> None:
    writer = agent(engine, tools=[tool(engine, "safe").pk])
    node = {"type": "agent", "agent_id": writer.pk, "config": {"prompt": "Go."}}
    run = start(engine, graph("start-a", "a-end", a=node))
    model = Model(*[[Wanted(f"c{number}", "safe", {})] for number in range(8)], "Enough.")
    run_all(engine, life, run, model=model)
    assert len(calls.seen) == 8
    assert model.requests[-1].tool_choice == "none"
    assert output(run) == {"text": "Enough."}


def test_it_gives_specialists_of_networks_their_tools(
    engine: EngineWorld, life: Incarnation, calls: Calls
) -> None:
    network = engine.network()
    network.agents.exclude(type="coordinator").update(tools=[tool(engine, "safe").pk])
    run = engine.start(network)
    engine.finish(life, engine.claim_one(life), decision(network, 1))
    report = '{"reasoning": "r", "result": "R", "confidence": 1, "suggested_memories": []}'
    run_all(engine, life, run, model=Model([Wanted("1", "safe", {"q": "x"})], report))
    assert calls.seen == [{"q": "x"}]
    assert ToolCall.objects.get().agent_id.startswith("agent_")
    engine.assert_sound()


def test_it_gives_coordinators_their_tools(engine: EngineWorld, life: Incarnation, calls: Calls) -> None:
    """When they decide, and when they write the result."""
    network = engine.network()
    network.agents.filter(type="coordinator").update(tools=[tool(engine, "safe").pk])
    run = engine.start(network)
    plan = json.dumps(decision(network, 1))
    report = '{"reasoning": "r", "result": "R", "confidence": 1, "suggested_memories": []}'
    result = '{"content": "C", "confidence": 1, "explanation": "E"}'
    first, last = [Wanted("1", "safe", {"q": "plan"})], [Wanted("2", "safe", {"q": "result"})]
    model = Model(first, plan, report, last, result)
    run_all(engine, life, run, model=model)
    assert calls.seen == [{"q": "plan"}, {"q": "result"}]
    assert output(run)["content"] == "C"
    assert ToolCall.objects.filter(state="succeeded").count() == 2
    engine.assert_sound()


def lose(engine: EngineWorld, life: Incarnation, calls: Calls) -> None:
    """Let a worker die while it calls a tool."""

    async def scenario() -> None:
        async with worker(life, Model()):
            await until(lambda: calls.seen, "the tool is called")

    calls.hangs = True
    engine.run(scenario())
    calls.hangs = False
    ToolCall.objects.update(state="started")
    for orphan in engine.run(life.sweep.orphans(settled=True, held=[])):
        engine.run(life.sweep.recover(orphan))
    Step.objects.filter(state="running").update(state="ready", owner="", crashes=1)


def test_it_repeats_a_lost_call_that_does_no_harm(
    engine: EngineWorld, life: Incarnation, calls: Calls
) -> None:
    run = start(engine, graph("start-look", "look-end", look=called(engine, "safe")))
    lose(engine, life, calls)
    run_all(engine, life, run)
    assert len(calls.seen) == 2
    assert ToolCall.objects.get().state == "succeeded"


@pytest.mark.parametrize(
    ("verdict", "times", "state"),
    [("edit", 1, "succeeded"), ("approve", 2, "succeeded"), ("reject", 1, "failed")],
)
def test_it_asks_a_person_about_a_lost_call_that_may_do_harm(
    engine: EngineWorld, life: Incarnation, calls: Calls, verdict: Any, times: int, state: str
) -> None:
    run = start(engine, graph("start-book", "book-end", book=called(engine)))
    lose(engine, life, calls)

    async def asked() -> None:
        async with worker(life, Model()):
            await until(lambda: asks(engine), "somebody is asked")

    engine.run(asked())
    approval = Approval.objects.get()
    assert "nobody knows" in approval.instructions
    assert Run.objects.get(pk=run.pk).wait_reason == "approval"
    given = {"number": 7} if verdict == "edit" else None
    decide(approval_id=approval.pk, decision=verdict, output=given, decided_by="ann")
    run_all(engine, life, run)
    assert len(calls.seen) == times
    done = Run.objects.get(pk=run.pk)
    assert (done.state, done.error_code) == (state, "outcome_unknown" if state == "failed" else "")
    if verdict == "edit":
        assert output(run) == {"number": 7}
    engine.assert_sound()


def test_it_tries_a_failed_tool_again_as_the_node_says(
    engine: EngineWorld, life: Incarnation, calls: Calls
) -> None:
    calls.fails = [ToolFailed("busy", "Busy.", retryable=True)] * 2
    run = start(
        engine, graph("start-look", "look-end", look=called(engine, "safe", retries=2, backoff_seconds=0))
    )
    sweep(engine, life, run)
    assert len(calls.seen) == 3
    assert (step(run, "look").tries, Run.objects.get(pk=run.pk).state) == (2, "succeeded")
    assert events(run).count("step.retried") == 2
    assert [call.turn for call in ToolCall.objects.order_by("turn")] == [0, 1000, 2000]
    engine.assert_sound()


def test_it_does_not_try_again_what_cannot_succeed(
    engine: EngineWorld, life: Incarnation, calls: Calls
) -> None:
    calls.fails = [ToolFailed("tool_refused", "No.")]
    run = start(engine, graph("start-look", "look-end", look=called(engine, "safe", retries=2)))
    sweep(engine, life, run)
    assert (len(calls.seen), Run.objects.get(pk=run.pk).error_code) == (1, "tool_refused")


def test_it_does_not_repeat_what_may_have_happened(
    engine: EngineWorld, life: Incarnation, calls: Calls
) -> None:
    calls.hangs = True
    run = start(engine, graph("start-book", "book-end", book=called(engine, retries=2, timeout_seconds=0.2)))
    sweep(engine, life, run)
    assert (len(calls.seen), Run.objects.get(pk=run.pk).error_code) == (1, "timeout")
    engine.assert_sound()


@pytest.mark.parametrize("on_error", ["continue", "route"])
def test_it_goes_on_after_an_error_as_the_node_says(
    engine: EngineWorld, life: Incarnation, calls: Calls, on_error: str
) -> None:
    calls.fails = [ToolFailed("tool_refused", "No.")]
    fine = {"type": "end", "config": {"output": {"path": "fine", "why": "{{ nodes.look.error.code }}"}}}
    sorry = {"type": "end", "config": {"output": {"path": "sorry", "why": "{{ nodes.look.error.code }}"}}}
    look = called(engine, "safe", on_error=on_error)
    run = start(engine, graph("start-look", "look-end", "look-sorry:error", look=look, end=fine, sorry=sorry))
    sweep(engine, life, run)
    assert output(run) == {"path": "fine" if on_error == "continue" else "sorry", "why": "tool_refused"}
    assert step(run, "look").state == "failed"
    engine.assert_sound()


def sweep(engine: EngineWorld, life: Incarnation, run: Run) -> None:
    """Run it to its end with waits that are due woken."""

    async def waking() -> None:
        while True:
            await asyncio.sleep(0.02)
            await life.sweep.wake_due()

    async def scenario() -> None:
        async with worker(life, Model()):
            waker = asyncio.create_task(waking())
            await ended(engine, run)
            waker.cancel()

    engine.run(scenario())
