"""PostgreSQL goes away in the middle of it: replies are kept and committed later, and nothing is paid twice."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from meshsite.embedded import EmbeddedServers
from tasks.models import Run
from tests.fakes.vendor_server import Vendors

from .background import Background
from .mesh import Mesh
from .own_servers import let_go

OUTAGE_SECONDS = 5.0


@pytest.fixture
def mesh(
    own_postgres: EmbeddedServers, redis_url: str, vendors: Vendors, quiet_hints: None, tmp_path: Path
) -> Iterator[Mesh]:
    mesh = Mesh(database_url=own_postgres.database_url, redis_url=redis_url, vendors=vendors, folder=tmp_path)
    yield mesh
    mesh.stop()
    print(mesh.story())


@pytest.mark.parametrize("latency", [0.05, 1.0])
def test_it_survives_a_restart_of_the_database(
    mesh: Mesh, own_postgres: EmbeddedServers, background: Background, latency: float
) -> None:
    mesh.vendors.anthropic.latency = latency
    workers = mesh.start_workers("w1", "w2")
    network = mesh.network()
    runs = mesh.submit(network, 4)
    mesh.until(lambda: len(mesh.calls()) > 4, "work is under way")
    down_since = mesh.clock()
    let_go()
    own_postgres.stop()
    mesh.until(lambda: mesh.clock() - down_since > OUTAGE_SECONDS, "the database is away for a while")
    own_postgres.start()
    mesh.wait_ended(runs, seconds=40)
    assert all(worker.alive for worker in workers)
    assert mesh.repeats() == 0
    mesh.wait_ended(mesh.submit(network, 1, description="Write the email campaign after the outage"))
    mesh.assert_sound()


def test_it_works_on_when_no_connection_is_to_be_had(mesh: Mesh, own_postgres: EmbeddedServers) -> None:
    worker = mesh.start_worker()
    runs = mesh.submit(mesh.network(), 4)
    with ExitStack() as taken:
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            _take_all(own_postgres, taken)
        mesh.wait_ended(runs)
    assert worker.alive
    assert len(mesh.calls()) == 6 * len(runs)
    mesh.assert_sound()


def test_it_waits_for_a_database_that_is_late(mesh: Mesh, own_postgres: EmbeddedServers) -> None:
    runs = mesh.submit(mesh.network(), 1)
    let_go()
    own_postgres.stop()
    worker = mesh.begin_worker()
    mesh.until(lambda: worker.says("Connected to redis") or not worker.alive, "it has started")
    own_postgres.start()
    mesh.until(
        lambda: Run.objects.filter(state="succeeded").exists() or not worker.alive, "it works or leaves"
    )
    if not worker.alive:  # leaving is allowed: the supervisor starts another
        mesh.begin_worker()
    mesh.wait_ended(runs)


def _take_all(servers: EmbeddedServers, taken: ExitStack) -> None:
    while True:
        taken.enter_context(psycopg.connect(servers.database_url))
