"""The embedded servers: real ones, started, attached to, killed and started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from meshsite import embedded_home, tether
from meshsite.embedded import EmbeddedServers
from meshsite.embedded_home import resolve_home
from tests.integration.processes import ROOT, alive, until

OWNER = """
import sys
from pathlib import Path
from meshsite.embedded import EmbeddedServers
with EmbeddedServers(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the servers of `data_dir` until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, data_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        assert process.stdout
        while process.stdout.readline() not in ("ready\n", ""):
            pass
        try:
            yield process
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait(30)


def server_pids(data_dir: Path) -> list[int]:
    pg, run = resolve_home(data_dir)
    files = [pg / "cluster" / "postmaster.pid", run / "valkey.pid"]
    return [int(file.read_text().split("\n", 1)[0]) for file in files]


def query(servers: EmbeddedServers, statement: str) -> object:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def ping(servers: EmbeddedServers) -> bool:
    with redis.Redis.from_url(servers.redis_url) as client:
        return bool(client.ping())


def test_it_serves_vectors_unicode_and_redis(data_dir: Path) -> None:
    with EmbeddedServers(data_dir) as servers:
        query(servers, "CREATE EXTENSION vector")
        assert query(servers, "SELECT '[1,2]'::vector <-> '[1,2]'::vector") == 0
        assert query(servers, "SELECT lower('ÄÖ')") == "äö"
        assert ping(servers)


def test_it_opens_no_port_and_keeps_what_was_committed(data_dir: Path) -> None:
    with EmbeddedServers(data_dir) as servers:
        assert query(servers, "SHOW listen_addresses") == ""
        assert query(servers, "SHOW fsync") == "on"
        assert query(servers, "SHOW synchronous_commit") == "on"
        with redis.Redis.from_url(servers.redis_url) as client:
            assert client.config_get("port") == {"port": "0"}
        run = resolve_home(data_dir)[1]
        assert run.stat().st_mode & 0o777 == 0o700


def test_it_stops_both_servers_at_the_end(data_dir: Path) -> None:
    with EmbeddedServers(data_dir):
        pids = server_pids(data_dir)
    assert not any(map(alive, pids))


def test_it_ends_with_a_killed_owner_and_starts_again_with_its_data(data_dir: Path) -> None:
    with owner(data_dir) as process:
        servers = EmbeddedServers(data_dir)
        query(servers, "CREATE TABLE kept AS SELECT 42 AS n")
        pids = server_pids(data_dir)
        process.kill()
        until(lambda: not any(map(alive, pids)), "both servers end with their owner")
    with servers:
        assert not servers.attached
        assert query(servers, "SELECT n FROM kept") == 42
        assert ping(servers)


def test_it_starts_while_the_servers_of_a_killed_owner_are_still_ending(data_dir: Path) -> None:
    with owner(data_dir) as process:
        process.kill()
        process.wait()
        with EmbeddedServers(data_dir) as servers:
            assert not servers.attached
            assert query(servers, "SELECT 1") == 1
            assert ping(servers)


def test_it_comes_back_when_only_the_postmaster_is_killed(data_dir: Path) -> None:
    with EmbeddedServers(data_dir) as servers:
        os.kill(server_pids(data_dir)[0], signal.SIGKILL)
        until(servers.dead, "the death is seen")
        [server] = servers.dead()
        server.start()
        assert query(servers, "SELECT 1") == 1


def test_it_attaches_to_running_servers_and_leaves_them_running(data_dir: Path) -> None:
    with EmbeddedServers(data_dir) as servers:
        with EmbeddedServers(data_dir) as second:
            assert second.attached
            assert query(second, "SELECT 1") == 1
        assert query(servers, "SELECT 1") == 1
        assert ping(servers)


def test_it_runs_beside_another_instance(data_dir: Path) -> None:
    with EmbeddedServers(data_dir / "one") as one, EmbeddedServers(data_dir / "two") as two:
        query(one, "CREATE TABLE only_here ()")
        assert query(two, "SELECT to_regclass('only_here')") is None
        assert ping(one)
        assert ping(two)


def test_it_ignores_a_pid_file_whose_number_belongs_to_somebody_else_now(data_dir: Path) -> None:
    with EmbeddedServers(data_dir):
        pid_file = resolve_home(data_dir)[0] / "cluster" / "postmaster.pid"
        text = pid_file.read_text()
    pid_file.write_text(f"{os.getpid()}\n" + text.split("\n", 1)[1])
    with EmbeddedServers(data_dir) as servers:
        assert query(servers, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["x" * 120, "with space, comma and 100%"])
def test_it_finds_another_place_for_sockets_when_an_address_cannot_name_it(data_dir: Path, name: str) -> None:
    folder = data_dir / name
    with EmbeddedServers(folder) as servers:
        place = (folder / "run").resolve()
        assert (folder / "run").is_symlink()
        assert query(servers, "SELECT 1") == 1
        assert ping(servers)
    with EmbeddedServers(folder):
        assert (folder / "run").resolve() == place
    place.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers under another account")
def test_it_moves_the_database_where_its_account_can_reach_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(embedded_home, "SYSTEM_HOME", data_dir / "system")
    said: list[str] = []
    with EmbeddedServers(closed / "var", report=said.append) as servers:
        assert query(servers, "SELECT 1") == 1
        assert ping(servers)
        assert resolve_home(closed / "var")[0].is_relative_to(data_dir / "system")
    assert closed.stat().st_mode & 0o777 == 0o700
    assert "cannot reach" in said[0]


def test_it_refuses_to_tie_a_process_to_a_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(tether.argv, ["true"], on_death=signal.SIGKILL).result()
