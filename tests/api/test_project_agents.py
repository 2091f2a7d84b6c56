"""Agents of a project: outside of networks, joining one, with tools."""

from typing import Any

import pytest

from agents.models import Agent, Tool
from networks.models import Network

from .conftest import Caller, make_caller


def test_it_makes_an_agent_outside_of_networks_with_the_original_designs_fields(owner: Caller) -> None:
    tool = Tool.objects.create(project=owner.project, name="crm", type="http")
    body = {
        "projectId": owner.project.pk,
        "name": "Copywriter",
        "provider": "anthropic",
        "model": "claude-3-7-sonnet",
        "systemPrompt": "You write.",
        "temperature": 0.4,
        "parameters": {"max_tokens": 2000},
        "tools": [tool.pk],
    }
    made = owner.post("/api/agents", body)
    assert made.status_code == 201, made.content
    agent = made.json()
    assert agent["network_id"] is None
    assert agent["parameters"] == {"max_tokens": 2000, "temperature": 0.4}
    assert agent["tools"] == [tool.pk]
    assert owner.get(f"/api/agents/{agent['id']}").json() == agent


def test_it_joins_a_network_and_leaves_it(owner: Caller, network: Network) -> None:
    agent = owner.post("/api/agents", {"name": "SEO", "type": "seo"}).json()
    joined = owner.patch(f"/api/agents/{agent['id']}", {"network_id": network.pk}).json()
    assert joined["network_id"] == network.pk
    assert agent["id"] in [item["id"] for item in owner.get(f"/api/mesh/networks/{network.pk}/agents").json()]
    assert owner.patch(f"/api/agents/{agent['id']}", {"network_id": None}).json()["network_id"] is None


def test_a_coordinator_stays_with_its_network(owner: Caller, network: Network) -> None:
    coordinator = Agent.objects.get(network=network, type="coordinator")
    assert owner.delete(f"/api/agents/{coordinator.pk}").status_code == 409
    assert owner.patch(f"/api/agents/{coordinator.pk}", {"network_id": None}).status_code == 409
    assert owner.patch(f"/api/agents/{coordinator.pk}", {"description": "Better."}).status_code == 200
    second = owner.post("/api/agents", {"name": "Two", "type": "coordinator", "network_id": network.pk})
    assert second.json()["errors"][0]["code"] == "two_coordinators"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"tools": ["tool_x"]}, "/tools/0"),
        ({"network_id": "network_x"}, "/network_id"),
        ({"provider": "openai", "model": "claude-3-7-sonnet"}, "/provider"),
        ({"model": "no-such-model"}, "/model"),
        ({"temperature": "hot"}, "/temperature"),
        ({"bogus": 1}, "/bogus"),
    ],
)
def test_it_names_what_is_wrong(owner: Caller, changes: dict[str, Any], pointer: str) -> None:
    answer = owner.post("/api/agents", {"name": "A"} | changes)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_a_strangers_tool_and_network_are_unknown(owner: Caller, stranger: Caller, network: Network) -> None:
    tool = Tool.objects.create(project=owner.project, name="crm", type="http")
    assert stranger.post("/api/agents", {"name": "A", "tools": [tool.pk]}).status_code == 422
    assert stranger.post("/api/agents", {"name": "A", "network_id": network.pk}).status_code == 422


def test_a_restricted_key_works_in_its_networks(owner: Caller, network: Network) -> None:
    restricted = make_caller(owner.project, "write", "read", network_ids=[network.pk])
    assert restricted.post("/api/agents", {"name": "A"}).status_code == 403
    assert restricted.post("/api/agents", {"name": "A", "network_id": network.pk}).status_code == 201
    outside = owner.post("/api/agents", {"name": "B"}).json()
    assert restricted.get(f"/api/agents/{outside['id']}").status_code == 404
