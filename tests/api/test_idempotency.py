"""Idempotency-Key: a repeated request does nothing and answers the same."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tasks.models import Run, Task
from web.idempotency import purge
from web.models import IdempotencyRecord

from .conftest import Caller, make_caller
from .endpoints import ENDPOINTS, WORKFLOW, Endpoint, each
from .test_tenancy import ids, no_outside_world  # noqa: F401  (fixtures)

BODY = {"task": "Write it.", "process": True}


CHANGE_NOTHING = ("v1/synthesize", f"{WORKFLOW}/validate")


@each(e for e in ENDPOINTS if e.method == "POST" and e.route not in CHANGE_NOTHING)
def test_it_answers_a_repetition_of_any_post_the_same(
    owner: Caller,
    ids: dict[str, str],  # noqa: F811
    endpoint: Endpoint,
) -> None:
    path, body = endpoint.path(ids), endpoint.request(ids).get("data")
    first = owner.post(path, body, Idempotency_Key="k-1")
    second = owner.post(path, body, Idempotency_Key="k-1")
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers.get("Location") == first.headers.get("Location")


@pytest.mark.django_db(transaction=True)
def test_it_does_the_work_once_for_twenty_at_a_time(owner: Caller, base: str) -> None:
    together = threading.Barrier(20)

    def send(_: int) -> Any:
        together.wait()
        try:
            return Caller(owner.key, owner.secret).post(f"{base}/tasks", BODY, Idempotency_Key="same")
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_in_progress"
            assert answer.headers["Retry-After"] == "1"
    assert (Task.objects.count(), Run.objects.count(), IdempotencyRecord.objects.count()) == (1, 1, 1)
    replay = owner.post(f"{base}/tasks", BODY, Idempotency_Key="same")
    assert replay.status_code == 201
    assert Task.objects.count() == 1


@pytest.mark.parametrize("change", ["body", "address"])
def test_it_refuses_the_key_for_another_request(owner: Caller, base: str, change: str) -> None:
    owner.post(f"{base}/tasks", BODY, Idempotency_Key="k")
    path, body = (f"{base}/tasks", BODY | {"priority": 2}) if change == "body" else (f"{base}/agents", BODY)
    response = owner.post(path, body, Idempotency_Key="k")
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")


def test_it_stores_nothing_for_a_request_that_failed(owner: Caller, base: str) -> None:
    assert owner.post(f"{base}/tasks", {"task": "x"}, Idempotency_Key="k").status_code == 422
    assert owner.post(f"{base}/tasks", BODY, Idempotency_Key="k").status_code == 201


def test_it_keeps_callers_apart(owner: Caller, base: str) -> None:
    other = make_caller(owner.project, "write")
    first, second = (c.post(f"{base}/tasks", BODY, Idempotency_Key="k") for c in (owner, other))
    assert first.json()["id"] != second.json()["id"]


def test_it_forgets_after_a_day(owner: Caller, base: str) -> None:
    first = owner.post(f"{base}/tasks", BODY, Idempotency_Key="k").json()
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert owner.post(f"{base}/tasks", BODY, Idempotency_Key="k").json()["id"] != first["id"]
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert purge() == 1


@pytest.mark.parametrize("key", ["", "two words", "k" * 256])
def test_it_names_a_key_it_cannot_keep(owner: Caller, base: str, key: str) -> None:
    response = owner.post(f"{base}/tasks", BODY, Idempotency_Key=key)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
