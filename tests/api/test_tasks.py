"""Tasks over their life: given, processed, read, cancelled, retried, rated."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, ModelCall
from networks.models import Network
from tasks.models import Run, Step, StepBody, Task

from .conftest import Caller


def test_it_takes_a_task(owner: Caller, base: str) -> None:
    deadline = (timezone.now() + timedelta(hours=1)).isoformat()
    body = {
        "task": "Launch mail for TechPro X1",
        "context": {"product": "X1"},
        "priority": 7,
        "deadline": deadline,
    }
    response = owner.post(f"{base}/tasks", body, X_Request_Id="my-request.1")
    assert response.status_code == 201
    answer = response.json()
    assert answer["status"] == "pending"
    assert answer["task_id"] == answer["id"]
    assert response.headers["X-Request-Id"] == "my-request.1"
    detail = owner.get(response.headers["Location"]).json()
    assert detail["description"] == body["task"]
    assert (detail["context"], detail["priority"]) == (body["context"], 7)
    assert detail["request_id"] == "my-request.1"
    assert (detail["result"], detail["error"], detail["subtasks"], detail["history"]) == (None, None, [], [])


def test_it_needs_three_queries_to_take_a_task(owner: Caller, base: str) -> None:
    owner.post(f"{base}/tasks", {"task": "The first use of a key is written down."})
    with CaptureQueriesContext(connection) as captured:
        owner.post(f"{base}/tasks", {"task": "Write it."})
    statements = [query["sql"].split()[0] for query in captured.captured_queries]
    assert [word for word in statements if word not in ("SAVEPOINT", "RELEASE")] == [
        "SELECT",
        "SELECT",
        "INSERT",
    ]


def test_it_starts_a_task_that_asks_for_it(owner: Caller, base: str) -> None:
    response = owner.post(f"{base}/tasks", {"task": "Write it.", "process": True})
    assert response.status_code == 201
    assert response.json()["status"] == "in_progress"
    assert Run.objects.get(pk=response.json()["run_id"]).task_id == response.json()["id"]


def test_it_processes_a_task_once(owner: Caller, base: str, task: Task) -> None:
    first, second = (owner.post(f"{base}/tasks/{task.pk}/process") for _ in range(2))
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert first.json() == {
        "status": "processing",
        "task_id": task.pk,
        "network_id": task.network_id,
        "run_id": Run.objects.get().pk,
    }
    assert first.headers["Location"] == f"{base}/tasks/{task.pk}"


def test_it_runs_an_ended_task_again_only_when_asked(
    owner: Caller, base: str, task: Task, finish_run: Callable[..., None]
) -> None:
    process = f"{base}/tasks/{task.pk}/process"
    first = owner.post(process).json()["run_id"]
    finish_run(task)
    response = owner.post(process)
    assert (response.status_code, response.json()["code"]) == (409, "task_finished")
    again = owner.post(process, {"retry": True})
    assert again.status_code == 202
    assert again.json()["run_id"] != first
    assert Run.objects.get(pk=again.json()["run_id"]).replayed_from_id == first


def test_it_shows_the_result_of_a_finished_task(
    owner: Caller, network: Network, base: str, task: Task, finish_run: Callable[..., None]
) -> None:
    run_id = owner.post(f"{base}/tasks/{task.pk}/process").json()["run_id"]
    agent = Agent.objects.filter(network=network, type="content").get()
    now = timezone.now()
    step = Step.objects.create(
        run_id=run_id,
        project_id=network.project_id,
        key="r1.1",
        kind="delegate",
        agent_id=agent.pk,
        state="succeeded",
        rank=now,
        created_at=now,
        started_at=now,
        finished_at=now,
    )
    StepBody.objects.create(
        step=step,
        input={"description": "Write a subject", "agent_id": agent.pk},
        output={"reasoning": "r", "result": "Save time", "confidence": 0.8, "suggested_memories": []},
    )
    ModelCall.objects.create(
        project_id=network.project_id,
        run_id=run_id,
        step_id=step.pk,
        state="succeeded",
        provider="p",
        model="gpt-6-sol",
        requested_model="gpt-4o",
        started_at=now,
    )
    finish_run(task)
    detail = owner.get(f"{base}/tasks/{task.pk}").json()
    assert detail["status"] == "completed"
    assert detail["result"] == {"content": "Sell more", "confidence": 0.9, "explanation": "Short."}
    assert detail["models_used"] == ["gpt-6-sol"]
    assert (
        detail["subtasks"][0].items()
        >= {
            "id": step.pk,
            "agent_id": agent.pk,
            "agent_name": "Content Specialist",
            "description": "Write a subject",
            "status": "completed",
            "result": "Save time",
            "confidence": 0.8,
            "required": True,
            "error": None,
        }.items()
    )
    assert [item["type"] for item in detail["history"]] == ["run.started", "run.completed"]
    assert detail["history"][-1]["summary"] == "The task was completed with confidence 0.90."


@pytest.mark.parametrize(
    ("state", "wait_reason", "status"),
    [
        ("pending", "", "pending"),
        ("running", "", "in_progress"),
        ("waiting", "provider", "in_progress"),
        ("waiting", "approval", "waiting_approval"),
        ("succeeded", "", "completed"),
        ("failed", "", "failed"),
        ("cancelled", "", "cancelled"),
    ],
)
def test_it_shows_and_filters_by_the_state_of_the_latest_run(
    owner: Caller, base: str, task: Task, state: str, wait_reason: str, status: str
) -> None:
    run_id = owner.post(f"{base}/tasks/{task.pk}/process").json()["run_id"]
    Run.objects.filter(pk=run_id).update(state=state, wait_reason=wait_reason)
    assert owner.get(f"{base}/tasks/{task.pk}").json()["status"] == status
    for other in ("pending", "in_progress", "waiting_approval", "completed", "failed", "cancelled"):
        found = owner.get(f"{base}/tasks?status={other}").json()
        assert [row["status"] for row in found] == ([status] if other == status else [])


def test_it_accepts_canceled_with_one_l(owner: Caller, base: str, task: Task) -> None:
    owner.post(f"{base}/tasks/{task.pk}/process")
    owner.post(f"{base}/tasks/{task.pk}/cancel")
    assert [row["id"] for row in owner.get(f"{base}/tasks?status=canceled").json()] == [task.pk]


@pytest.mark.parametrize("started", [True, False])
def test_it_cancels_a_task_at_once(owner: Caller, base: str, task: Task, started: bool) -> None:
    if started:
        owner.post(f"{base}/tasks/{task.pk}/process")
    response = owner.post(f"{base}/tasks/{task.pk}/cancel", {"reason": "Not needed."})
    assert response.status_code == 202
    detail = owner.get(f"{base}/tasks/{task.pk}").json()
    assert detail["status"] == "cancelled"
    assert detail["history"][-1]["summary"] == "The task was cancelled: Not needed."
    again = owner.post(f"{base}/tasks/{task.pk}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "task_finished")


def test_it_retries_with_changed_input(
    owner: Caller, base: str, task: Task, finish_run: Callable[..., None]
) -> None:
    retry = f"{base}/tasks/{task.pk}/retry"
    owner.post(f"{base}/tasks/{task.pk}/process")
    running = owner.post(retry)
    assert (running.status_code, running.json()["code"]) == (409, "task_not_finished")
    finish_run(task, state="failed")
    response = owner.post(retry, {"input": {"context": {"tone": "warm"}}})
    assert response.status_code == 202
    assert Run.objects.get(pk=response.json()["run_id"]).body.input["context"] == {"tone": "warm"}


def test_it_names_a_step_it_cannot_retry_from(
    owner: Caller, base: str, task: Task, finish_run: Callable[..., None]
) -> None:
    owner.post(f"{base}/tasks/{task.pk}/process")
    finish_run(task)
    response = owner.post(f"{base}/tasks/{task.pk}/retry", {"from_step": "step_nonsense"})
    assert response.status_code == 404


def test_it_keeps_feedback_as_memory(owner: Caller, base: str, task: Task) -> None:
    response = owner.post(f"{base}/tasks/{task.pk}/feedback", {"rating": 2, "comment": "Too long."})
    assert response.status_code == 201
    item = owner.get(response.headers["Location"]).json()
    assert (item["type"], item["source"]["kind"]) == ("feedback", "feedback")
    assert item["source"]["key_id"] == owner.key.pk
    assert item["metadata"] == {"task_id": task.pk, "rating": 2, "comment": "Too long."}
    assert "rated 2 of 5" in item["content"]


def test_it_pages_through_events(
    owner: Caller, base: str, task: Task, finish_run: Callable[..., None]
) -> None:
    events = f"{base}/tasks/{task.pk}/events"
    assert owner.get(events).json() == []
    owner.post(f"{base}/tasks/{task.pk}/process")
    finish_run(task)
    response = owner.get(f"{events}?limit=1")
    [first] = response.json()
    assert (first["seq"], first["type"]) == (1, "run.started")
    assert response.headers["X-Total-Count"] == "2"
    address = response.headers["Link"].split(">")[0].removeprefix("<http://testserver")
    assert [event["seq"] for event in owner.get(address).json()] == [2]
    assert [event["seq"] for event in owner.get(f"{events}?after=1").json()] == [2]


def test_it_refuses_a_mark_of_another_tasks_events(owner: Caller, base: str, task: Task) -> None:
    other = owner.post(f"{base}/tasks", {"task": "Another.", "process": True}).json()
    response = owner.get(f"{base}/tasks/{task.pk}/events?after={other['run_id']}:1")
    assert response.status_code == 422


def test_it_lists_ten_tasks_newest_first(owner: Caller, base: str) -> None:
    made: list[Any] = [
        owner.post(f"{base}/tasks", {"task": f"Task number {n}"}).json()["id"] for n in range(12)
    ]
    rows = owner.get(f"{base}/tasks").json()
    assert len(rows) == 10
    assert {row["id"] for row in rows} <= set(made)
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
