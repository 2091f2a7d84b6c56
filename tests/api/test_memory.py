"""Shared memory: written with provenance, found by words, changed with history, forgotten."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from memory.models import MemoryItem
from memory.services import remember
from networks.models import Network

from .conftest import Caller

KNOWN = {
    "audience": ("fact", 0.9, "The audience is small business owners in retail."),
    "tone": ("decision", 0.8, "We write in a warm and plain tone."),
    "launch": ("context", 0.5, "The TechPro X1 laptop launches in March."),
    "battery": ("fact", 0.7, "The TechPro X1 battery lasts 20 hours."),
}


@pytest.fixture
def known(network: Network) -> dict[str, str]:
    return {
        name: remember(network=network, content=content, type=type_, confidence=confidence).pk
        for name, (type_, confidence, content) in KNOWN.items()
    }


@pytest.fixture
def found(owner: Caller, base: str, known: dict[str, str]) -> Any:
    names = {pk: name for name, pk in known.items()}
    return lambda query: [names[row["id"]] for row in owner.get(f"{base}/memory?{query}").json()]


def test_it_remembers_with_provenance(owner: Caller, base: str) -> None:
    response = owner.post(f"{base}/memory", {"content": "Water is wet.", "metadata": {"page": 3}})
    assert response.status_code == 201
    answer = response.json()
    assert answer["memory_id"] == answer["id"]
    assert (answer["type"], answer["confidence"], answer["metadata"]) == ("fact", 1.0, {"page": 3})
    assert answer["source"] == {
        "kind": "client",
        "agent_id": None,
        "run_id": None,
        "step_id": None,
        "key_id": owner.key.pk,
    }


@pytest.mark.parametrize("name", ["memory_type", "type"])
def test_it_takes_the_type_by_either_name(owner: Caller, base: str, name: str) -> None:
    assert owner.post(f"{base}/memory", {"content": "x", name: "decision"}).json()["type"] == "decision"


def test_it_lists_newest_first_without_scores(found: Any, owner: Caller, base: str, known: Any) -> None:
    rows = owner.get(f"{base}/memory").json()
    assert [row["id"] for row in rows] == sorted(known.values(), reverse=True)
    assert all("score" not in row for row in rows)


def test_it_finds_items_with_all_the_words_best_first(found: Any, owner: Caller, base: str) -> None:
    assert found("query=techpro+battery") == ["battery"]
    assert found("query=TechPro") == ["battery", "launch"], "the more certain item comes first"
    scores = [row["score"] for row in owner.get(f"{base}/memory?query=TechPro").json()]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_it_finds_what_a_whole_sentence_is_about(found: Any) -> None:
    assert set(found("query=Please+write+a+mail+about+the+laptop+for+shop+owners")) == {
        "audience",
        "tone",
        "launch",
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('query="warm+and+plain"', ["tone"]),
        ("query=TechPro+-battery", ["launch"]),
        ("query=zebra", []),
        ("query=the", []),
        ("query=%26%7C!()'\\:*<->", []),
        ("memory_type=decision", ["tone"]),
        ("query=TechPro&memory_type=fact", ["battery"]),
        ("query=TechPro&min_confidence=0.6", ["battery"]),
        ("min_confidence=0.85", ["audience"]),
        ("source=agent", []),
        ("query=TechPro&source=client&search_mode=keyword", ["battery", "launch"]),
    ],
)
def test_it_filters(found: Any, query: str, names: list[str]) -> None:
    assert found(query) == names


def test_it_prefers_newer_items(found: Any, known: dict[str, str]) -> None:
    MemoryItem.objects.filter(pk=known["battery"]).update(created_at=timezone.now() - timedelta(days=365))
    MemoryItem.objects.filter(pk=known["launch"]).update(confidence=0.7)
    assert found("query=TechPro") == ["launch", "battery"]


def test_it_pages_through_what_it_found(owner: Caller, base: str, known: Any) -> None:
    response = owner.get(f"{base}/memory?query=TechPro&limit=1")
    assert response.headers["X-Total-Count"] == "2"
    address = response.headers["Link"].split(">")[0].removeprefix("<http://testserver")
    second = owner.get(address)
    assert [response.json()[0]["id"], second.json()[0]["id"]] == [known["battery"], known["launch"]]
    assert "Link" not in second.headers


def test_it_does_not_recall_expired_items(found: Any, known: dict[str, str]) -> None:
    MemoryItem.objects.filter(pk=known["battery"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert found("query=TechPro") == ["launch"]
    assert "battery" not in found("limit=50")


def test_it_supersedes_an_item(owner: Caller, base: str, found: Any, known: dict[str, str]) -> None:
    body = {"content": "The TechPro X1 battery lasts 24 hours.", "supersedes": known["battery"]}
    new = owner.post(f"{base}/memory", body).json()
    assert (new["supersedes"], new["version"]) == (known["battery"], 2)
    old = owner.get(f"{base}/memory/{known['battery']}").json()
    assert old["superseded_by"] == new["id"]
    assert old["superseded_at"] is not None
    listed = [row["id"] for row in owner.get(f"{base}/memory?query=battery").json()]
    assert listed == [new["id"]]
    again = owner.post(f"{base}/memory", body)
    assert (again.status_code, again.json()["code"]) == (409, "already_superseded")


def test_it_supersedes_nothing_of_another_network(owner: Caller, base: str, memory_item: Any) -> None:
    other = owner.post("/api/mesh/networks", {"name": "Other"}).json()["id"]
    response = owner.post(
        f"/api/mesh/networks/{other}/memory", {"content": "x", "supersedes": memory_item.pk}
    )
    assert response.json()["errors"][0]["pointer"] == "/supersedes"


def test_it_keeps_the_history_of_changes(owner: Caller, base: str, memory_item: Any) -> None:
    path = f"{base}/memory/{memory_item.pk}"
    response = owner.patch(path, {"content": "The audience is teachers.", "confidence": 1})
    assert response.status_code == 200
    assert (
        response.json().items()
        >= {"memory_id": memory_item.pk, "type": "fact", "updates": ["content"]}.items()
    )
    owner.patch(path, {"ttl": 60, "type": "context"})
    detail = owner.get(path).json()
    assert (detail["content"], detail["type"], detail["version"]) == (
        "The audience is teachers.",
        "context",
        3,
    )
    assert detail["expires_at"] is not None
    assert [(old["version"], old["content"], old["type"]) for old in detail["history"]] == [
        (2, "The audience is teachers.", "fact"),
        (1, memory_item.content, "fact"),
    ]
    assert detail["history"][0]["changed_by"] == owner.key.pk
    assert owner.get(f"{base}/memory?query=teachers").json()[0]["id"] == memory_item.pk


def test_it_changes_nothing_when_nothing_differs(owner: Caller, base: str, memory_item: Any) -> None:
    path = f"{base}/memory/{memory_item.pk}"
    assert owner.patch(path, {"confidence": 1.0}).json()["updates"] == []
    assert owner.get(path).json()["version"] == 1


def test_it_forgets(owner: Caller, base: str, memory_item: Any) -> None:
    path = f"{base}/memory/{memory_item.pk}"
    assert owner.delete(path).status_code == 204
    assert owner.get(path).status_code == 404
