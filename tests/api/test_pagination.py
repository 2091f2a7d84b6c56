"""Pages: by offset, or by a cursor that misses and repeats nothing while rows come and go."""

import pytest

from agents.services import create_network_with_agents
from networks.models import Network
from tasks.models import Task
from tasks.services import create_task
from web import pagination

from .conftest import Caller


@pytest.fixture
def tasks(network: Network) -> list[str]:
    """Five ids, newest first."""
    made = [create_task(network=network, description=f"Task {number}").pk for number in range(5)]
    return sorted(made, reverse=True)


def follow(link: str) -> str:
    address, _, rel = link.partition("; ")
    assert rel == 'rel="next"'
    return address.strip("<>").removeprefix("http://testserver")


def test_it_pages_by_offset(owner: Caller, base: str, tasks: list[str]) -> None:
    rows = owner.get(f"{base}/tasks?limit=2&offset=3").json()
    assert [row["id"] for row in rows] == tasks[3:]


def test_it_follows_the_links_to_the_end(owner: Caller, base: str, tasks: list[str]) -> None:
    seen, address = [], f"{base}/tasks?limit=2"
    while address:
        response = owner.get(address)
        assert response.headers["X-Total-Count"] == "5"
        seen += [row["id"] for row in response.json()]
        address = follow(response.headers["Link"]) if "Link" in response.headers else ""
    assert seen == tasks


def test_it_neither_misses_nor_repeats_when_rows_come_and_go(
    owner: Caller, network: Network, base: str, tasks: list[str]
) -> None:
    first = owner.get(f"{base}/tasks?limit=2")
    create_task(network=network, description="A newer one")
    Task.objects.get(pk=tasks[1]).delete()
    second = owner.get(follow(first.headers["Link"]))
    assert [row["id"] for row in second.json()] == tasks[2:4]


def test_it_keeps_the_filter_in_the_link(owner: Caller, base: str, tasks: list[str]) -> None:
    link = owner.get(f"{base}/tasks?status=pending&limit=2&offset=1").headers["Link"]
    assert "status=pending" in link
    assert "offset" not in link


def test_it_pages_agents_oldest_first(owner: Caller, base: str) -> None:
    first = owner.get(f"{base}/agents?limit=3")
    second = owner.get(follow(first.headers["Link"]))
    types = [row["type"] for row in first.json() + second.json()]
    assert types == ["coordinator", "content", "design", "analytics", "personalization"]


def test_it_estimates_beyond_what_it_counts(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        create_network_with_agents(project=owner.project, name=f"Network {number}")
    monkeypatch.setattr(pagination, "EXACT_UP_TO", 3)
    assert int(owner.get("/api/mesh/networks").headers["X-Total-Count"]) >= 3
