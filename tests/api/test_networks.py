"""Networks: created with their agents, listed with counts, changed, deleted."""

from collections.abc import Callable
from typing import Any

import pytest

from agents.models import Agent, ModelCall
from networks.models import Network
from tasks.models import Run, Task

from .conftest import Caller

DEFAULTS = [
    ("Coordinator Agent", "coordinator"),
    ("Content Specialist", "content"),
    ("Design Specialist", "design"),
    ("Analytics Specialist", "analytics"),
    ("Personalization Specialist", "personalization"),
]
SEO = {
    "name": "SEO Specialist",
    "type": "seo",
    "model": "claude-3-7-sonnet",
    "description": "Makes pages found.",
    "parameters": {"temperature": 0.4, "max_tokens": 4000},
    "capabilities": ["keyword research", "on-page SEO", "meta descriptions"],
}


def roles(answer: Any) -> list[tuple[str, str]]:
    return [(agent["name"], agent["type"]) for agent in answer["agents"]]


def test_it_creates_a_network_with_the_five_default_agents(owner: Caller) -> None:
    response = owner.post(
        "/api/mesh/networks", {"name": "Email Campaign Assistant", "description": "Writes."}
    )
    assert response.status_code == 201
    answer = response.json()
    assert response.headers["Location"] == f"/api/mesh/networks/{answer['network_id']}"
    assert answer["id"] == answer["network_id"]
    assert answer["id"].startswith("network_")
    assert (answer["status"], answer["max_iterations"], answer["timeout_seconds"]) == ("active", 10, 300)
    assert roles(answer) == DEFAULTS
    assert all(agent["system_prompt"] and agent["capabilities"] for agent in answer["agents"])
    assert owner.get(f"/api/mesh/networks/{answer['id']}").json()["agents"] == answer["agents"]


@pytest.mark.parametrize("wrap", [False, True])
def test_it_adds_a_coordinator_to_agents_that_have_none(owner: Caller, wrap: bool) -> None:
    agents = [{"agent_config": SEO} if wrap else SEO]
    answer = owner.post("/api/mesh/networks", {"name": "SEO", "agents": agents}).json()
    assert roles(answer) == [("Coordinator Agent", "coordinator"), ("SEO Specialist", "seo")]
    assert answer["agents"][1].items() >= SEO.items()


def test_it_keeps_the_coordinator_it_is_given(owner: Caller) -> None:
    agents = [SEO, {"name": "Boss", "type": "coordinator"}]
    answer = owner.post("/api/mesh/networks", {"name": "SEO", "agents": agents}).json()
    assert roles(answer) == [("SEO Specialist", "seo"), ("Boss", "coordinator")]


def test_it_refuses_two_coordinators(owner: Caller) -> None:
    agents = [{"name": "Boss", "type": "coordinator"}, {"name": "Boss too", "type": "coordinator"}]
    response = owner.post("/api/mesh/networks", {"name": "Two", "agents": agents})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/agents/1/type"
    assert not Network.objects.exists()


def test_it_refuses_an_unknown_model_unless_a_compatible_server_may_have_it(
    owner: Caller, settings: Any
) -> None:
    body = {"name": "Local", "agents": [{"name": "A", "type": "b", "model": "llama-of-ours"}]}
    response = owner.post("/api/mesh/networks", body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/agents/0/model"
    settings.PROVIDERS = {**settings.PROVIDERS, "openai_compatible": {"base_url": "http://localhost:1/v1"}}
    assert owner.post("/api/mesh/networks", body).status_code == 201


def test_it_lists_networks_with_their_counts(
    owner: Caller, network: Network, task: Task, memory_item: Any
) -> None:
    [row] = owner.get("/api/mesh/networks").json()
    assert (row["agent_count"], row["task_count"], row["memory_count"]) == (5, 1, 1)
    assert row.keys() >= {"id", "name", "description", "created_at", "status"}


def test_it_shows_a_network_with_its_latest_tasks_and_memories(
    owner: Caller, base: str, task: Task, memory_item: Any
) -> None:
    answer = owner.get(base).json()
    assert [row["id"] for row in answer["tasks"]] == [task.pk]
    assert [row["id"] for row in answer["memories"]] == [memory_item.pk]


def test_it_changes_only_what_is_given(owner: Caller, base: str) -> None:
    answer = owner.patch(base, {"timeout_seconds": 60, "status": "paused", "budget": 1.5}).json()
    assert (answer["timeout_seconds"], answer["status"], answer["budget"]) == (60, "paused", 1.5)
    assert (answer["name"], answer["max_iterations"]) == ("Email Campaign Assistant", 10)
    assert owner.patch(base, {"budget": None}).json()["budget"] is None


@pytest.mark.django_db(transaction=True)
def test_it_cancels_running_tasks_before_it_deletes(owner: Caller, network: Network, base: str) -> None:
    run_id = owner.post(f"{base}/tasks", {"task": "Write it.", "process": True}).json()["run_id"]
    call = ModelCall.objects.create(
        project_id=network.project_id,
        network_id=network.pk,
        run_id=run_id,
        provider="anthropic",
        model="m",
        requested_model="m",
        started_at=network.created_at,
    )
    assert owner.delete(base).status_code == 204
    assert owner.get(base).status_code == 404
    assert not Run.objects.filter(pk=run_id).exists()
    assert ModelCall.objects.filter(pk=call.pk).exists(), "the ledger stays"


@pytest.mark.parametrize("status", ["paused", "archived"])
def test_it_starts_nothing_in_a_network_that_is_not_active(
    owner: Caller, base: str, task: Task, status: str
) -> None:
    owner.patch(base, {"status": status})
    response = owner.post(f"{base}/tasks/{task.pk}/process")
    assert (response.status_code, response.json()["code"]) == (409, f"network_{status}")


# --- agents ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [SEO, {"agent_config": SEO}])
def test_it_adds_an_agent_bare_or_wrapped(owner: Caller, base: str, body: Any) -> None:
    response = owner.post(f"{base}/agents", body)
    assert response.status_code == 201
    answer = response.json()
    assert answer["agent_id"] == answer["id"]
    assert answer["status"] == "idle"
    assert answer.items() >= SEO.items()
    assert owner.get(response.headers["Location"]).json() == answer


def test_it_refuses_what_stands_beside_the_wrapper(owner: Caller, base: str) -> None:
    response = owner.post(f"{base}/agents", {"agent_config": SEO, "name": "x"})
    assert [error["pointer"] for error in response.json()["errors"]] == ["/name"]


def test_it_changes_an_agent(owner: Caller, network: Network, base: str) -> None:
    agent = Agent.objects.filter(network=network).last()
    assert agent is not None
    answer = owner.patch(f"{base}/agents/{agent.pk}", {"parameters": {"temperature": 1}}).json()
    assert (answer["name"], answer["parameters"]) == (agent.name, {"temperature": 1.0})


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], "idle"),
        (["succeeded"], "idle"),
        (["failed"], "error"),
        (["failed", "succeeded"], "idle"),
        (["started", "succeeded"], "working"),
    ],
)
def test_it_derives_an_agents_status_from_its_calls(
    owner: Caller, network: Network, base: str, states: list[str], status: str
) -> None:
    agent = Agent.objects.filter(network=network).first()
    assert agent is not None
    for number, state in enumerate(states):
        ModelCall.objects.create(
            id=f"mcall_{number}",
            project_id=network.project_id,
            agent_id=agent.pk,
            state=state,
            provider="p",
            model="m",
            requested_model="m",
            started_at=network.created_at,
        )
    assert owner.get(f"{base}/agents/{agent.pk}").json()["status"] == status


def test_it_keeps_the_coordinator_while_the_network_works(
    owner: Caller, network: Network, base: str, task: Task, finish_run: Callable[..., None]
) -> None:
    coordinator = Agent.objects.get(network=network, type="coordinator")
    path = f"{base}/agents/{coordinator.pk}"
    owner.post(f"{base}/tasks/{task.pk}/process")
    for response in (owner.delete(path), owner.patch(path, {"type": "other"})):
        assert (response.status_code, response.json()["code"]) == (409, "coordinator_busy")
    finish_run(task)
    assert owner.delete(path).status_code == 204


@pytest.mark.parametrize("at_once", [True, False])
def test_it_gives_a_network_without_coordinator_a_new_one_to_work(
    owner: Caller, network: Network, base: str, task: Task, at_once: bool
) -> None:
    Agent.objects.get(network=network, type="coordinator").delete()
    if at_once:
        response = owner.post(f"{base}/tasks", {"task": "Write it.", "process": True})
        assert response.json()["status"] == "in_progress"
    else:
        assert owner.post(f"{base}/tasks/{task.pk}/process").status_code == 202
    assert Agent.objects.filter(network=network, type="coordinator").count() == 1
