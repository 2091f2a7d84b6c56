"""The cast: an owner and a member of one project, and a stranger with a project of his own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client

from agents.services import create_network_with_agents
from memory.services import remember
from networks.models import ApiKey, Network, Project
from networks.services import create_api_key, create_project
from tasks.models import Task
from tasks.services import create_task
from web import ratelimit
from web.ratelimit import Counter


@dataclass
class Caller:
    """A key and the HTTP client that uses it."""

    key: ApiKey
    secret: str
    http: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    @property
    def project(self) -> Project:
        assert self.key.project is not None
        return self.key.project

    def headers(self, **more: str) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return {"Authorization": f"Bearer {self.secret}", **named}

    def get(self, path: str, **headers: str) -> Any:
        return self.http.get(path, headers=self.headers(**headers))

    def delete(self, path: str) -> Any:
        return self.http.delete(path, headers=self.headers())

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.http.post(
            path,
            {} if body is None else body,
            content_type="application/json",
            headers=self.headers(**headers),
        )

    def patch(self, path: str, body: Any) -> Any:
        return self.http.patch(path, body, content_type="application/json", headers=self.headers())

    def put(self, path: str, body: Any) -> Any:
        return self.http.put(path, body, content_type="application/json", headers=self.headers())

    def send(self, method: str, path: str, raw: bytes, content_type: str = "application/json") -> Any:
        return self.http.generic(method, path, raw, content_type=content_type, headers=self.headers())


def make_caller(project: Project, *scopes: str, **options: Any) -> Caller:
    return Caller(*create_api_key(project=project, name="a key", scopes=scopes, **options))


@pytest.fixture
def owner(db: None) -> Caller:
    return make_caller(create_project(name="Acme"), "admin")


@pytest.fixture
def member(owner: Caller) -> Caller:
    """May read, and nothing else."""
    return make_caller(owner.project, "read")


@pytest.fixture
def stranger(db: None) -> Caller:
    return make_caller(create_project(name="Elsewhere"), "admin")


@pytest.fixture
def network(owner: Caller) -> Network:
    network, _ = create_network_with_agents(project=owner.project, name="Email Campaign Assistant")
    return network


@pytest.fixture
def task(network: Network) -> Task:
    return create_task(network=network, description="Write a subject line for the TechPro X1.")


@pytest.fixture
def memory_item(network: Network) -> Any:
    return remember(network=network, content="The audience is small business owners.")


@pytest.fixture
def base(network: Network) -> str:
    """The network's address."""
    return f"/api/mesh/networks/{network.pk}"


@pytest.fixture
def finish_run() -> Callable[..., None]:
    """End a task's run as a worker would, as far as readers can tell."""
    from django.utils import timezone

    from tasks.models import Event, Run, RunBody

    def finish(task: Task, state: str = "succeeded", output: Any = None) -> None:
        task.refresh_from_db()
        run = task.run
        assert run is not None
        now = timezone.now()
        Event.objects.create(
            run=run, seq=run.event_seq + 1, type="run.completed", payload={"confidence": 0.9}, at=now
        )
        RunBody.objects.filter(run=run).update(
            output=output or {"content": "Sell more", "confidence": 0.9, "explanation": "Short."}
        )
        Run.objects.filter(pk=run.pk).update(
            state=state, event_seq=run.event_seq + 1, finished_at=now, updated_at=now
        )

    return finish


@pytest.fixture(autouse=True)
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """Requests of one test do not count in the next, and no thread outlives its test."""
    counter = Counter()
    monkeypatch.setattr(ratelimit, "counter", counter)
    yield counter
    counter.stop()


@pytest.fixture(autouse=True)
def static_root(settings: Any) -> None:
    """WhiteNoise warns about a folder that `collectstatic` has not made."""
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
