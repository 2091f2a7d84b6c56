"""Who gets in: the owner; nobody without a key; nobody without the scope; no stranger, by any address."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from agents.models import Agent
from agents.tool_services import create_tool
from networks.models import Network
from networks.services import add_member
from tasks.lifecycle import cancel_run, start_run
from tasks.models import Run, Task
from tasks.schedules.services import create_schedule
from tasks.services import create_task
from tasks.triggers.services import create_trigger
from tasks.webhooks.services import create_endpoint, send_test
from workflows.services import create_workflow

from .approval_world import waiting_approval
from .conftest import Caller, make_caller
from .endpoints import (
    A_CALCULATOR,
    A_GRAPH,
    A_TOOL,
    ABOVE_PROJECTS,
    ENDPOINTS,
    Endpoint,
    each,
    served_endpoints,
)
from .voice_world import have_recordings, never_dial, never_join, never_speak, voice_ids

everywhere = each(ENDPOINTS)
nested = each(e for e in ENDPOINTS if e.route.count("<") == 2)
inside = each(e for e in ENDPOINTS if e.names_a_thing)


@pytest.fixture
def ids(owner: Caller, network: Network, task: Task, memory_item: Any) -> dict[str, str]:
    specialist = Agent.objects.filter(network=network).exclude(type="coordinator").first()
    assert specialist is not None
    key = make_caller(owner.project, "read").key
    webhook, _ = create_endpoint(project=owner.project, values={"url": "https://example.com/hook"})
    workflow = create_workflow(project=owner.project, name="Brief", graph=A_GRAPH)
    trigger, _ = create_trigger(workflow=workflow, values={})
    ended = running_task(network)
    cancel_run(run_id=ended.pk)
    approval = waiting_approval(owner.project)
    return {
        "approval_id": approval.pk,
        "step_id": approval.step_id,
        "run_id": running_task(network).pk,
        "run_id/retry": ended.pk,
        "other_run": ended.pk,
        "trigger_id": trigger.pk,
        "schedule_id": create_schedule(workflow=workflow, values={"cron": "0 9 * * *"}).pk,
        "project_id": owner.project.pk,
        "member_id": add_member(project=owner.project, email="ann@example.com").pk,
        "webhook_id": webhook.pk,
        "delivery_id": send_test(endpoint=webhook).pk,
        "network_id": network.pk,
        "agent_id": specialist.pk,
        "task_id": task.pk,
        "memory_id": memory_item.pk,
        "key_id": key.pk,
        "workflow_id": workflow.pk,
        "tool_id": create_tool(project=owner.project, values=A_TOOL).pk,
        "tool_id/try": create_tool(project=owner.project, values=A_CALCULATOR).pk,
        "number": "1",
        "other": "1",
    } | voice_ids(network)


def running_task(network: Network) -> Run:
    return start_run(task=create_task(network=network, description="Write something else."))


@pytest.fixture(autouse=True)
def no_outside_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    have_recordings(monkeypatch, tmp_path)
    never_dial(monkeypatch)
    never_join(monkeypatch)
    never_speak(monkeypatch)


def call(caller: Caller, endpoint: Endpoint, ids: dict[str, str]) -> Any:
    send = getattr(caller.http, endpoint.method.lower())
    headers = caller.headers() | dict(endpoint.headers)
    return send(endpoint.path(ids), headers=headers, **endpoint.request(ids))


def test_it_covers_every_endpoint() -> None:
    assert (
        served_endpoints() == {(endpoint.method, endpoint.route) for endpoint in ENDPOINTS} | ABOVE_PROJECTS
    )


@everywhere
def test_it_lets_the_owner_in(owner: Caller, ids: dict[str, str], endpoint: Endpoint) -> None:
    response = call(owner, endpoint, ids)
    assert response.status_code < 300, response.content
    if response.status_code != 204:
        assert response.headers["Content-Type"] == endpoint.answer


@everywhere
def test_it_answers_401_without_a_key(ids: dict[str, str], endpoint: Endpoint) -> None:
    response = getattr(Client(), endpoint.method.lower())(endpoint.path(ids), **endpoint.request(ids))
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["code"] == "unauthenticated"


@everywhere
def test_it_answers_403_without_the_scope(owner: Caller, ids: dict[str, str], endpoint: Endpoint) -> None:
    others = {"read", "write", "voice"} - {endpoint.needs}
    response = call(make_caller(owner.project, *others), endpoint, ids)
    assert response.status_code == 403
    assert response.json()["code"] == "missing_scope"
    assert f"`{endpoint.needs}`" in response.json()["detail"]


@inside
def test_it_answers_404_to_the_stranger(stranger: Caller, ids: dict[str, str], endpoint: Endpoint) -> None:
    response = call(stranger, endpoint, ids)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


@nested
def test_it_answers_404_when_a_strangers_id_is_mixed_with_our_own(
    stranger: Caller, ids: dict[str, str], endpoint: Endpoint
) -> None:
    made = stranger.post("/api/mesh/networks", {"name": "Decoy"}).json()
    response = call(stranger, endpoint, ids | {"network_id": made["id"]})
    assert response.status_code == 404


@inside
def test_it_answers_404_outside_of_a_restricted_keys_networks(
    owner: Caller, ids: dict[str, str], endpoint: Endpoint
) -> None:
    other = owner.post("/api/mesh/networks", {"name": "Elsewhere"}).json()["id"]
    restricted = make_caller(owner.project, "admin", network_ids=[other])
    assert call(restricted, endpoint, ids).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/mesh/networks",
        "/api/keys",
        "/api/voice/sessions",
        "/api/voice/calls",
        "/api/voice/numbers",
    ],
)
def test_it_lists_nothing_of_the_strangers(stranger: Caller, ids: dict[str, str], path: str) -> None:
    listed = [row["id"] for row in stranger.get(path).json()]
    assert not set(listed) & set(ids.values())


def test_it_lists_only_the_networks_of_a_restricted_key(owner: Caller, network: Network) -> None:
    owner.post("/api/mesh/networks", {"name": "Another"})
    restricted = make_caller(owner.project, "read", network_ids=[network.pk])
    assert [row["id"] for row in restricted.get("/api/mesh/networks").json()] == [network.pk]


def test_it_lets_no_restricted_key_create_networks(owner: Caller, network: Network) -> None:
    restricted = make_caller(owner.project, "write", network_ids=[network.pk])
    assert restricted.post("/api/mesh/networks", {"name": "Another"}).status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["wait", "events"])
def test_it_keeps_strangers_out_of_what_waits_and_streams(
    stranger: Caller, ids: dict[str, str], verb: str
) -> None:
    path = f"/api/mesh/networks/{ids['network_id']}/tasks/{ids['task_id']}"
    address = f"{path}?wait=5" if verb == "wait" else f"{path}/events"
    response = stranger.get(address, Accept="text/event-stream")
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert Client().get(address, headers={"Accept": "text/event-stream"}).status_code == 401


def test_it_offers_an_installation_key_no_networks(owner: Caller) -> None:
    installation = make_caller(None, "admin")  # type: ignore[arg-type]
    response = installation.get("/api/mesh/networks")
    assert (response.status_code, response.json()["code"]) == (403, "no_project")
