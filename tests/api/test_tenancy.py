"""Who gets in: the owner; nobody without a key; nobody without the scope; no stranger, by any address."""

from typing import Any

import pytest
from django.test import Client

from agents.models import Agent
from networks.models import Network
from tasks.models import Task

from .conftest import Caller, make_caller
from .endpoints import ENDPOINTS, Endpoint, served_endpoints

everywhere = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
nested = pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.route.count("<") == 2], ids=str)
inside = pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.names_a_thing], ids=str)


@pytest.fixture
def ids(owner: Caller, network: Network, task: Task, memory_item: Any) -> dict[str, str]:
    specialist = Agent.objects.filter(network=network).exclude(type="coordinator").first()
    assert specialist is not None
    key = make_caller(owner.project, "read").key
    return {
        "network_id": network.pk,
        "agent_id": specialist.pk,
        "task_id": task.pk,
        "memory_id": memory_item.pk,
        "key_id": key.pk,
    }


def call(caller: Caller, endpoint: Endpoint, path: str) -> Any:
    body = {} if endpoint.body is None else {"data": endpoint.body, "content_type": "application/json"}
    return getattr(caller.http, endpoint.method.lower())(path, headers=caller.headers(), **body)


def test_it_covers_every_endpoint() -> None:
    assert served_endpoints() == {(endpoint.method, endpoint.route) for endpoint in ENDPOINTS}


@everywhere
def test_it_lets_the_owner_in(owner: Caller, ids: dict[str, str], endpoint: Endpoint) -> None:
    response = call(owner, endpoint, endpoint.path(ids))
    assert response.status_code < 300, response.content
    if response.status_code != 204:
        assert response.headers["Content-Type"] == "application/json"


@everywhere
def test_it_answers_401_without_a_key(ids: dict[str, str], endpoint: Endpoint) -> None:
    body = {} if endpoint.body is None else {"data": endpoint.body, "content_type": "application/json"}
    response = getattr(Client(), endpoint.method.lower())(endpoint.path(ids), **body)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["code"] == "unauthenticated"


@everywhere
def test_it_answers_403_without_the_scope(owner: Caller, ids: dict[str, str], endpoint: Endpoint) -> None:
    others = {"read", "write", "voice"} - {endpoint.needs}
    response = call(make_caller(owner.project, *others), endpoint, endpoint.path(ids))
    assert response.status_code == 403
    assert response.json()["code"] == "missing_scope"
    assert f"`{endpoint.needs}`" in response.json()["detail"]


@inside
def test_it_answers_404_to_the_stranger(stranger: Caller, ids: dict[str, str], endpoint: Endpoint) -> None:
    response = call(stranger, endpoint, endpoint.path(ids))
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


@nested
def test_it_answers_404_when_a_strangers_id_is_mixed_with_our_own(
    stranger: Caller, ids: dict[str, str], endpoint: Endpoint
) -> None:
    made = stranger.post("/api/mesh/networks", {"name": "Decoy"}).json()
    response = call(stranger, endpoint, endpoint.path(ids | {"network_id": made["id"]}))
    assert response.status_code == 404


@inside
def test_it_answers_404_outside_of_a_restricted_keys_networks(
    owner: Caller, ids: dict[str, str], endpoint: Endpoint
) -> None:
    other = owner.post("/api/mesh/networks", {"name": "Elsewhere"}).json()["id"]
    restricted = make_caller(owner.project, "admin", network_ids=[other])
    assert call(restricted, endpoint, endpoint.path(ids)).status_code == 404


@pytest.mark.parametrize("path", ["/api/mesh/networks", "/api/keys"])
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
