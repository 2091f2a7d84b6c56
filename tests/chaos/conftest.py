"""Chaos: a real PostgreSQL, a real Redis, real workers, vendors that speak the real wire formats.

Leases last 3 s here and the sweeper comes every 0.5 s. Nothing waits for a fixed time: `Mesh.until` polls
the database with a deadline.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.fakes.vendor_server import Vendors, vendor_servers

from .background import Background
from .mesh import Mesh
from .own_servers import own_postgres, own_redis  # noqa: F401 # fixtures of many
from .shop import Shop

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.chaos)


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as background:
        yield background


@pytest.fixture
def vendors(background: Background) -> Vendors:
    return background.enter(vendor_servers())


@pytest.fixture
def shop(background: Background) -> Shop:
    return background.enter(Shop())


@pytest.fixture
def quiet_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test process sends no messages: its settings name another Redis than the workers'."""
    monkeypatch.setattr("tasks.worker.hints.publish", lambda kind, step_id, run_id: True)
    monkeypatch.setattr("tasks.lifecycle.publish_notice", lambda run_id, **_: None)


@pytest.fixture
def mesh(
    transactional_db: None,
    database_url: str,
    redis_url: str,
    vendors: Vendors,
    quiet_hints: None,
    tmp_path: Path,
) -> Iterator[Mesh]:
    mesh = Mesh(database_url=database_url, redis_url=redis_url, vendors=vendors, folder=tmp_path)
    yield mesh
    mesh.stop()
    print(mesh.story())  # pytest shows it with a failure


@pytest.fixture
def broker(redis_url: str) -> Iterator[Celery]:
    """A Celery application that sends hints to the test's own workers."""
    app = Celery(
        "hints", broker=redis_url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
    )
    yield app
    app.close()
