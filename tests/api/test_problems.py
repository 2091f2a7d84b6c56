"""Every error is a problem document, wherever it happens."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from networks.models import Network
from web.problem_codes import CODES

from .conftest import Caller

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}


def check(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document.keys() == MEMBERS
    assert (document["status"], document["code"]) == (status, code)
    assert document["request_id"] == response.headers["X-Request-Id"]
    return document


def test_it_describes_an_unknown_address(db: None) -> None:
    document = check(Client().get("/api/nothing"), 404, "not_found")
    assert document["instance"] == "/api/nothing"


def test_it_lists_the_methods_an_address_takes(owner: Caller) -> None:
    response = owner.send("PUT", "/api/mesh/networks", b"{}")
    check(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, POST"


def test_it_describes_a_body_that_is_too_large(owner: Caller) -> None:
    check(owner.send("POST", "/api/mesh/networks", b" " * (1024 * 1024 + 1)), 413, "body_too_large")


def test_it_describes_a_media_type_it_does_not_take(owner: Caller) -> None:
    check(owner.send("POST", "/api/mesh/networks", b"<a/>", "text/xml"), 415, "unsupported_media_type")


def test_it_describes_a_defect_of_ours_without_its_words(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("tasks.api.shapes.shape_networks", fail)
    document = check(owner.get("/api/mesh/networks"), 500, "internal_error")
    assert "a secret" not in str(document)


def test_it_asks_to_come_back_when_the_database_is_away(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr("networks.authentication._look_up", fail)
    response = owner.get("/api/mesh/networks")
    check(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("query", ["wait=61", "wait=soon", "wait=-1", "wait=nan", "weight=1"])
def test_it_describes_errors_of_coroutines_as_well(owner: Caller, base: str, task: Any, query: str) -> None:
    document = check(owner.get(f"{base}/tasks/{task.pk}?{query}"), 422, "validation_failed")
    assert document["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


def test_it_shows_people_pages_outside_of_the_api(db: None) -> None:
    response = Client().get("/nothing", headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_it_explains_every_code_where_the_type_points(owner: Caller) -> None:
    address = owner.get("/api/mesh/networks/none").json()["type"]
    page = Client().get("/" + address.split("/", 3)[3]).content.decode()
    assert all(f'id="{code}"' in page for code in CODES)


def test_it_knows_every_code_that_is_raised() -> None:
    raised = set()
    for folder in ("web", "networks", "agents", "memory", "tasks", "meshsite", "voice"):
        for path in Path(folder).rglob("*.py"):
            raised |= set(re.findall(r'\b(?:Problem|Conflict)\(\s*"(\w+)"', path.read_text()))
    assert raised
    assert raised <= CODES.keys()


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2:3_4", True), ("a b", False), ("x" * 101, False), ("é", False)]
)
def test_it_replaces_a_request_id_it_cannot_keep(db: None, given: str, kept: bool) -> None:
    answered = Client().get("/api/nothing", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert (answered == given) is kept
    assert answered


def test_it_serves_its_documentation_offline(db: None) -> None:
    document = Client().get(reverse("schema")).json()
    assert document["openapi"].startswith("3.1")
    for page in ("/api/docs", "/api/redoc"):
        text = Client().get(page).content.decode()
        assert not re.search(r'(?:src|href)="(?:https?:)?//', text), "nothing comes from elsewhere"


def test_it_ignores_accept_rather_than_to_refuse(owner: Caller, network: Network) -> None:
    assert owner.get("/api/mesh/networks", Accept="application/xml").json()[0]["id"] == network.pk
