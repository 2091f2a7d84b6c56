"""Runs of workflows go on when Redis or PostgreSQL fail in the middle: no step is repeated, no order made twice."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.models import ToolCall
from meshsite.embedded import EmbeddedServers
from tasks.models import Approval, Event, Run
from tests.fakes.vendor_server import Vendors

from .mesh import Mesh
from .own_servers import OwnRedis, let_go
from .shop import Shop
from .test_workflows import FAN_OUT, ORDERS, STEPS, begin, fan, workflow

RUNS = 4


def under_way(mesh: Mesh, shop: Shop) -> list[Run]:
    """Start runs and wait until some of their calls are made."""
    made = workflow(mesh, fan(mesh, shop))
    runs = [begin(mesh, made, number) for number in range(1, RUNS + 1)]
    mesh.until(lambda: len(mesh.calls()) > FAN_OUT and shop.orders, "work is under way")
    return runs


def assert_done_once(mesh: Mesh, shop: Shop) -> None:
    assert all(worker.alive for worker in mesh.workers)
    assert len(mesh.calls()) == RUNS * (FAN_OUT - ORDERS)
    assert len(shop.orders) == RUNS * ORDERS
    assert set(shop.orders.values()) == {1}
    assert not Approval.objects.exists(), "nobody had to be asked"
    assert set(ToolCall.objects.values_list("state", flat=True)) == {"succeeded"}
    assert Event.objects.filter(type="step.completed").count() == RUNS * STEPS
    mesh.assert_sound()


@pytest.mark.parametrize("trouble", [OwnRedis.restart, OwnRedis.flush, OwnRedis.hang, OwnRedis.refuse])
def test_they_go_on_when_redis_is_in_trouble(
    mesh: Mesh, shop: Shop, own_redis: OwnRedis, trouble: Callable[[OwnRedis], None]
) -> None:
    mesh.vendors.anthropic.latency = 0.3
    mesh.start_workers("w1", "w2", REDIS_URL=own_redis.url)
    runs = under_way(mesh, shop)
    trouble(own_redis)
    mesh.wait_ended(runs)
    assert_done_once(mesh, shop)


@pytest.fixture
def mesh_on_own_postgres(
    own_postgres: EmbeddedServers, redis_url: str, vendors: Vendors, quiet_hints: None, tmp_path: Path
) -> Iterator[Mesh]:
    mesh = Mesh(database_url=own_postgres.database_url, redis_url=redis_url, vendors=vendors, folder=tmp_path)
    yield mesh
    mesh.stop()
    print(mesh.story())


def test_they_go_on_after_a_restart_of_the_database(
    mesh_on_own_postgres: Mesh, shop: Shop, own_postgres: EmbeddedServers
) -> None:
    mesh = mesh_on_own_postgres
    mesh.vendors.anthropic.latency = 1.0
    mesh.start_workers("w1", "w2")
    runs = under_way(mesh, shop)
    let_go()
    own_postgres.stop()
    own_postgres.start()
    mesh.wait_ended(runs)
    assert_done_once(mesh, shop)
