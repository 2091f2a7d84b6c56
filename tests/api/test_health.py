"""Health: what it says, to whom, and that it never hangs."""

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from meshsite import health
from networks.models import Network
from tasks.models import Task, Worker

from .conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)

PUBLIC = {"status", "database", "redis_connection", "broker", "version", "timestamp"}


@pytest.fixture
def worker() -> Worker:
    now = timezone.now()
    return Worker.objects.create(
        slot="w1", host="h", pid=1, lease_until=now + timedelta(minutes=1), started_at=now
    )


@pytest.fixture
def hung_redis(settings: Any) -> Iterator[None]:
    """A server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        yield


def test_it_is_healthy_with_a_worker(worker: Worker) -> None:
    response = Client().get("/api/mesh/health")
    assert response.status_code == 200
    assert response.json()["status"] == "healthy"
    assert response.json().keys() == PUBLIC


def test_it_tells_details_only_with_a_key(
    owner: Caller, stranger: Caller, network: Network, task: Task, worker: Worker, base: str
) -> None:
    owner.post(f"{base}/tasks/{task.pk}/process")
    report = owner.get("/api/mesh/health").json()
    assert report["workers"] == {"alive": 1, "draining": 0}
    assert report["llm_client"]["status"] == "rehearsal"
    assert report["voice"]["mode"] == "inline"
    assert (report["voice"]["processes"], report["voice"]["active_calls"]) == (0, 0)
    assert (report["active_networks_count"], report["active_tasks_count"]) == (1, 1)
    others = stranger.get("/api/mesh/health").json()
    assert (others["active_networks_count"], others["active_tasks_count"]) == (0, 0)


def test_it_refuses_a_wrong_key(db: None) -> None:
    assert Client().get("/api/mesh/health", headers={"X-API-Key": "wrong"}).status_code == 401


def test_it_is_degraded_without_workers(worker: Worker) -> None:
    Worker.objects.update(lease_until=timezone.now())
    response = Client().get("/api/mesh/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")


def test_it_is_degraded_and_quick_with_a_hung_redis(worker: Worker, hung_redis: None) -> None:
    began = time.monotonic()
    report = Client().get("/api/mesh/health").json()
    assert (report["status"], report["redis_connection"]) == ("degraded", "disconnected")
    assert Client().get("/readyz").status_code == 200
    assert time.monotonic() - began < 5


def test_it_is_unhealthy_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise OperationalError("away")

    monkeypatch.setattr(health, "_database", fail)
    response = Client().get("/api/mesh/health")
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    assert Client().get("/readyz").status_code == 503
    assert Client().get("/livez").status_code == 200


def test_it_shows_an_open_breaker(owner: Caller, settings: Any, worker: Worker) -> None:
    from agents.credentials import installation_credential

    settings.PROVIDERS = {"anthropic": {"api_key": "k"}, "openai": {"api_key": "k"}}
    credential = installation_credential("anthropic")
    assert credential is not None
    client = health._client(settings.REDIS_URL)
    client.hset(health._OPEN_BREAKERS, f"anthropic||{credential.fingerprint}", "1 server_error")
    try:
        llm = owner.get("/api/mesh/health").json()["llm_client"]
    finally:
        client.delete(health._OPEN_BREAKERS)
    assert llm["status"] == "degraded"
    assert llm["providers"]["anthropic"] == {"configured": True, "breaker": "open"}
    assert llm["providers"]["openai"] == {"configured": True, "breaker": "closed"}
