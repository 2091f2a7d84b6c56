"""Runs of workflows as clients see them: published versions, retries, comparison, cancelling, filters, decisions."""

import threading
from typing import Any

import pytest
from django.db import connections

from tasks.models import Event, Run
from tasks.worker.incarnation import Incarnation
from tests.api.approval_world import OWNER, approver
from tests.api.conftest import Caller, make_caller
from tests.integration.engine_world import EngineWorld, until
from tests.integration.loop_world import Model, ended, worker
from tests.integration.test_workflow_loops import wait_for_child
from tests.integration.workflow_world import agent, asks, graph


@pytest.fixture
def caller(engine: EngineWorld) -> Caller:
    return make_caller(engine.project, "admin")


def said(engine: EngineWorld, prompt: str, **config: Any) -> dict[str, Any]:
    return {"type": "agent", "agent_id": agent(engine).pk, "config": {"prompt": prompt, **config}}


def make(caller: Caller, body: dict[str, Any]) -> str:
    """A published workflow; returns its address."""
    made = caller.post("/api/workflows", {"name": "Flow", "graph": body})
    assert made.status_code == 201, made.content
    address = f"/api/workflows/{made.json()['id']}"
    assert caller.post(f"{address}/publish").status_code == 200
    return address


def begin(caller: Caller, workflow: str, **body: Any) -> str:
    answer = caller.post(f"{workflow}/runs", body)
    assert answer.status_code == 202, answer.content
    return str(answer.json()["run_id"])


def run_on(engine: EngineWorld, life: Incarnation, *runs: str, model: Model | None = None) -> None:
    """Let a worker run them to their ends."""

    async def scenario() -> None:
        async with worker(life, model or Model()):
            await ended(engine, *Run.objects.none(), *[Run(pk=run) for run in runs])

    engine.run(scenario())


def wait_for_question(engine: EngineWorld, life: Incarnation, model: Model | None = None) -> None:
    async def scenario() -> None:
        async with worker(life, model or Model()):
            await until(lambda: asks(engine), "somebody is asked")

    engine.run(scenario())


def detail(caller: Caller, run: str) -> dict[str, Any]:
    found: dict[str, Any] = caller.get(f"/api/runs/{run}").json()
    return found


def steps(caller: Caller, run: str) -> dict[str, dict[str, Any]]:
    return {step["key"]: step for step in detail(caller, run)["steps"]}


def asking(engine: EngineWorld, **config: Any) -> dict[str, Any]:
    """start → draft → ask → polish → end."""
    config = {"approvers": [OWNER], "data": "{{ nodes.draft.output }}", **config}
    return graph(
        *("start-draft", "draft-ask", "ask-polish", "polish-end"),
        draft=said(engine, "Draft {{ input.topic }}."),
        ask={"type": "human_approval", "config": config},
        polish=said(engine, "Polish {{ nodes.ask.output.data.text }}."),
    )


def pending(caller: Caller, run: str) -> dict[str, Any]:
    [approval] = caller.get(f"/api/approvals?status=pending&run_id={run}").json()
    found: dict[str, Any] = approval
    return found


def test_a_version_published_while_a_run_waits_does_not_change_it(
    engine: EngineWorld, life: Incarnation, caller: Caller
) -> None:
    approver(engine.project)
    body = asking(engine)
    workflow = make(caller, body)
    run = begin(caller, workflow, input={"topic": "rain"})
    wait_for_question(engine, life, Model("It rains."))
    before = detail(caller, run)
    nodes = [node for node in body["nodes"] if node["id"] != "polish"]
    edges = [edge for edge in body["edges"] if "polish" not in edge["id"]]
    other = {"nodes": nodes, "edges": [*edges, {"id": "x", "from_node_id": "ask", "to_node_id": "end"}]}
    assert caller.patch(workflow, {"graph": other}).json()["version"] == 2
    assert caller.post(f"{workflow}/publish").json()["number"] == 2
    assert detail(caller, run) == before
    assert caller.post(f"/api/approvals/{pending(caller, run)['id']}/approve").status_code == 200
    run_on(engine, life, run, model=Model("Rain falls."))
    after = detail(caller, run)
    assert (after["workflow_version"], after["status"]) == (1, "completed")
    assert after["output"] == {"text": "Rain falls."}
    assert [step["key"] for step in after["steps"]] == ["start", "draft", "ask", "polish", "end"]
    newer = begin(caller, workflow, input={"topic": "sun"})
    assert detail(caller, newer)["workflow_version"] == 2
    engine.assert_sound()


def test_it_is_retried_from_a_step_with_edited_input_and_compared(
    engine: EngineWorld, life: Incarnation, caller: Caller
) -> None:
    workflow = make(
        caller,
        graph(
            *("start-a", "a-b", "b-end"),
            a=said(engine, "First."),
            b=said(engine, "{{ nodes.a.output.text }} and {{ input.x }}"),
        ),
    )
    first = begin(caller, workflow, input={"x": 1})
    assert caller.post(f"/api/runs/{first}/retry").status_code == 409, "it is still going on"
    run_on(engine, life, first, model=Model("A", "B"))
    again = caller.post(
        f"/api/runs/{first}/retry", {"from_step_id": steps(caller, first)["b"]["id"], "input": {"x": 2}}
    )
    assert again.status_code == 202, again.content
    second = again.json()["run_id"]
    model = Model("C")
    run_on(engine, life, second, model=model)
    assert [request.messages[1].content for request in model.requests] == ["A and 2"]
    found = detail(caller, second)
    assert (found["replayed_from"], found["input"], found["output"]) == (first, {"x": 2}, {"text": "C"})
    assert found["usage"]["model_calls"] == 1, "what went before is not paid again"
    compared = caller.get(f"/api/runs/{first}/compare/{second}").json()
    assert (compared["input"]["changed"], compared["output"]["changed"]) == (True, True)
    changes = {pair["key"]: pair["change"] for pair in compared["steps"]}
    assert changes == {"start": "same", "a": "same", "b": "changed", "end": "changed"}
    assert caller.post(f"/api/runs/{first}/retry", {"from_step_id": "step_x"}).status_code == 404
    refused = caller.post(f"/api/runs/{first}/retry", {"from_step": "x"})
    assert refused.json()["errors"][0]["pointer"] == "/from_step"
    engine.assert_sound()


@pytest.mark.parametrize("state", ["ready", "running", "for a person", "for another run", "over"])
def test_it_is_cancelled_in_every_state(
    engine: EngineWorld, life: Incarnation, caller: Caller, state: str
) -> None:
    approver(engine.project)
    job = {"type": "task", "config": {"network_id": engine.network().pk, "task": "Plan {{ input.topic }}"}}
    body = asking(engine) if state != "for another run" else graph("start-job", "job-end", job=job)
    run = begin(caller, make(caller, body), input={"topic": "x"})
    match state:
        case "running":
            engine.claim_one(life)
        case "for a person":
            wait_for_question(engine, life)
        case "for another run":
            wait_for_child(engine, life)
        case "over":
            wait_for_question(engine, life)
            caller.post(f"/api/approvals/{pending(caller, run)['id']}/reject")
    answer = caller.post(f"/api/runs/{run}/cancel", {"reason": "Not now."})
    if state == "over":
        assert (answer.status_code, detail(caller, run)["status"]) == (409, "failed")
        return
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert {step["status"] for step in steps(caller, run).values()} <= {"completed", "cancelled"}
    assert (
        list(Event.objects.filter(run=run).order_by("seq").values_list("type", flat=True))[-1]
        == "run.cancelled"
    )
    assert caller.get("/api/approvals?status=pending").json() == []
    assert not Run.objects.exclude(state="cancelled").exists(), "nor does what it waited for go on"
    engine.assert_sound()


def test_runs_are_listed_by_what_is_asked_for(engine: EngineWorld, life: Incarnation, caller: Caller) -> None:
    approver(engine.project)
    one = make(caller, asking(engine))
    two = make(caller, graph("start-a", "a-end", a=said(engine, "Go.")))
    waits = begin(caller, one, input={"topic": "x"})
    wait_for_question(engine, life)
    done, cancelled = begin(caller, two), begin(caller, two)
    caller.post(f"/api/runs/{cancelled}/cancel")
    run_on(engine, life, done)
    retried = caller.post(f"/api/runs/{done}/retry").json()["run_id"]

    def listed(query: str, address: str = "/api/runs") -> set[str]:
        answer = caller.get(f"{address}?{query}")
        assert answer.status_code == 200, answer.content
        return {run["id"] for run in answer.json()}

    assert listed("") == {waits, done, cancelled, retried}
    assert listed("status=waiting_approval") == {waits}
    assert listed("status=completed") == {done}
    assert listed("status=canceled") == {cancelled}
    assert listed("status=in_progress") == {retried}
    assert listed("source=retry") == {retried}
    assert listed(f"workflow_id={one.rpartition('/')[2]}") == {waits}
    assert listed("status=completed", f"{two}/runs") == {done}
    at = detail(caller, done)["created_at"].replace("+", "%2B")
    assert listed(f"created_after={at}") == {cancelled, retried}
    assert listed(f"created_before={at}") == {waits}
    refused = caller.get("/api/runs?status=maybe")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/status")


def test_of_two_decisions_at_once_one_counts_and_the_other_is_told(
    engine: EngineWorld, life: Incarnation, caller: Caller
) -> None:
    approver(engine.project)
    run = begin(caller, make(caller, asking(engine)), input={"topic": "x"})
    wait_for_question(engine, life)
    address = f"/api/approvals/{pending(caller, run)['id']}"
    callers = [make_caller(engine.project, "admin") for _ in range(6)]
    together, answers = threading.Barrier(len(callers)), list[Any]()

    def decide(number: int) -> None:
        together.wait()
        try:
            answers.append(callers[number].post(f"{address}/{'approve' if number % 2 else 'reject'}"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(len(callers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]
    state = caller.get(address).json()["status"]
    for late in (answer.json() for answer in answers if answer.status_code == 409):
        assert (late["code"], late["detail"]) == ("approval_decided", f"It was {state} by key a key before.")
    assert Event.objects.filter(run=run, type="approval.decided").count() == 1
    engine.assert_sound()


@pytest.mark.parametrize("on_error", ["fail", "continue", "route"])
def test_a_node_is_tried_again_and_then_does_as_it_says(
    engine: EngineWorld, life: Incarnation, caller: Caller, on_error: str
) -> None:
    """Retries, backoff and on_error, as a client writes and sees them."""
    number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    config = {"retries": 2, "backoff_seconds": 0.01, "on_error": on_error, "output_schema": number}
    ways = ["start-a", "a-b"] + (["a-sorry:error"] if on_error == "route" else [])
    body = graph(*ways, a=said(engine, "A number.", **config), b="end", sorry="end", end="end")
    body["nodes"] = [n for n in body["nodes"] if any(n["id"] in e.values() for e in body["edges"])]
    run = begin(caller, make(caller, body))

    async def scenario() -> None:
        async with worker(life, Model(*["no number"] * 60)):

            async def over() -> bool:
                await life.sweep.wake_due()
                async with engine.pool.connection() as connection:
                    cursor = await connection.execute("SELECT 1 FROM tasks_run WHERE finished_at IS NOT NULL")
                    return bool(await cursor.fetchone())

            await until(over, "the run ends")

    engine.run(scenario())
    found, after = detail(caller, run), steps(caller, run)
    assert after["a"]["attempt"] == 3
    assert after["a"]["status"] == "failed"
    assert found["status"] == ("failed" if on_error == "fail" else "completed")
    assert (found["error"] or {}).get("code") == (after["a"]["error"]["code"] if on_error == "fail" else None)
    reached = {key for key in ("b", "sorry") if after.get(key, {}).get("status") == "completed"}
    assert reached == {"fail": set(), "continue": {"b"}, "route": {"sorry"}}[on_error]
    told = [event["type"] for event in caller.get(f"/api/runs/{run}/events").json()]
    assert told.count("step.retried") == 2
    engine.assert_sound()
