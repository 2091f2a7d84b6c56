"""Redis is a convenience: restarted, emptied, hung or absent, nothing is lost and work goes on."""

from collections.abc import Callable

import pytest

from tasks.models import Run

from .mesh import ENDED, Mesh
from .own_servers import OwnRedis


@pytest.mark.parametrize("trouble", [OwnRedis.restart, OwnRedis.flush, OwnRedis.hang, OwnRedis.refuse])
def test_it_works_on_when_redis_is_in_trouble(
    mesh: Mesh, own_redis: OwnRedis, trouble: Callable[[OwnRedis], None]
) -> None:
    mesh.vendors.anthropic.latency = 0.2
    workers = mesh.start_workers("w1", "w2", REDIS_URL=own_redis.url)
    network = mesh.network()
    runs = mesh.submit(network, 3)
    mesh.until(lambda: len(mesh.calls()) > 3, "work is under way")
    trouble(own_redis)
    runs += mesh.submit(network, 3, description="Write the email campaign that Redis knows nothing of")
    mesh.wait_ended(runs)
    own_redis.well()
    mesh.wait_ended(mesh.submit(network, 1, description="Write the email campaign after the trouble"))
    assert all(worker.alive for worker in workers)
    assert len(mesh.calls()) == 6 * 7
    mesh.assert_sound()


def test_it_hears_hints_again_after_redis_came_back(mesh: Mesh, own_redis: OwnRedis) -> None:
    worker = mesh.start_worker(REDIS_URL=own_redis.url)
    own_redis.restart()
    connected = mesh.until(lambda: worker.says("Connected to redis") >= 2, "the broker is found again")
    assert connected
    assert worker.alive


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1/0"])
def test_it_works_without_redis_from_the_start(mesh: Mesh, url: str) -> None:
    mesh.begin_worker("w1", REDIS_URL=url, MESH_DATA_DIR="/nonexistent")
    runs = mesh.submit(mesh.network(), 2)
    mesh.wait_ended(runs)
    assert Run.objects.filter(state__in=ENDED).count() == 2
    mesh.assert_sound()
