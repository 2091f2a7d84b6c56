"""What was there when it was looked up, and is gone when it is used, is a 404 and no defect."""

from typing import Any

import pytest

from memory.models import MemoryItem
from networks.models import Network
from tasks.models import Task

from .conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vanishing(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    """The network goes between the check of the caller's right and the work."""
    from networks import selectors

    access = selectors.access_network_for

    def access_and_lose(key: Any, network_id: str) -> Network:
        found = access(key, network_id)
        Network.objects.filter(pk=network_id).delete()
        return found

    for module in ("tasks.api.tasks", "tasks.api.networks", "agents.api.views", "memory.api.views"):
        monkeypatch.setattr(f"{module}.access_network_for", access_and_lose)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tasks", {"task": "Write it."}),
        ("POST", "/tasks", {"task": "Write it.", "process": True}),
        ("POST", "/agents", {"name": "x", "type": "y"}),
        ("POST", "/memory", {"content": "x"}),
        ("DELETE", "", None),
    ],
)
def test_it_answers_404_when_the_network_goes(
    owner: Caller, base: str, vanishing: None, method: str, path: str, body: Any
) -> None:
    response = owner.delete(base) if method == "DELETE" else owner.post(base + path, body)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_it_answers_404_when_the_item_goes(
    owner: Caller, base: str, memory_item: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memory.services import update

    def lose_and_update(**values: Any) -> Any:
        MemoryItem.objects.all().delete()
        return update(**values)

    monkeypatch.setattr("memory.api.views.services.update", lose_and_update)
    assert owner.patch(f"{base}/memory/{memory_item.pk}", {"confidence": 0.1}).status_code == 404


@pytest.mark.parametrize("verb", ["process", "cancel", "retry"])
def test_it_answers_404_when_the_task_goes(
    owner: Caller, base: str, task: Task, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import selectors

    access = selectors.access_task_for

    def access_and_lose(*args: Any) -> Task:
        found = access(*args)
        Task.objects.all().delete()
        found.pk = task.pk
        return found

    monkeypatch.setattr(selectors, "access_task_for", access_and_lose)
    assert owner.post(f"{base}/tasks/{task.pk}/{verb}").status_code == 404
