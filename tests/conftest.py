"""What every test stands on: servers when they are needed, no network where it is not.

Unit tests start nothing and reach nothing. Everything else gets a PostgreSQL and a Redis: those of
`DATABASE_URL` and `REDIS_URL`, else embedded ones that end with the test run.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from meshsite.embedded import EmbeddedServers

UNIT = Path(__file__).parent / "unit"
_servers = pytest.StashKey[EmbeddedServers]()


def is_unit(item: pytest.Item) -> bool:
    return item.path.is_relative_to(UNIT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in filter(is_unit, items):
        item.add_marker(pytest.mark.disable_socket)  # unix sockets stay: asyncio wakes itself by one


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what the chosen tests need, before any fixture asks for a database."""
    wanted = os.environ["MESH_TEST_EMBEDDED"].split()
    if session.config.option.collectonly or not wanted or all(map(is_unit, session.items)):
        return
    session.config.stash[_servers] = EmbeddedServers(
        Path(os.environ["MESH_TEST_DIR"]),
        postgres="DATABASE_URL" in wanted,
        valkey="REDIS_URL" in wanted,
    ).start()


def pytest_unconfigure(config: pytest.Config) -> None:
    if servers := config.stash.get(_servers, None):
        servers.stop()


@pytest.fixture
def database_url(django_db_setup: None) -> str:
    """The address of Django's test database, for processes and plain connections."""
    from django.db import connection

    address = urlsplit(os.environ["DATABASE_URL"])
    # Spelled out: urlunsplit drops the empty host that a unix socket's address has.
    query = f"?{address.query}" if address.query else ""
    return f"postgresql://{address.netloc}/{connection.settings_dict['NAME']}{query}"


@pytest.fixture
def redis_url() -> Iterator[str]:
    """The address of an empty Redis database of this test's own, emptied again afterwards.

    Only a database that was found empty is used: `REDIS_URL` may be somebody's.
    """
    base = os.environ["REDIS_URL"]
    with redis.Redis.from_url(base) as claims:
        for number in range(15, 0, -1):
            claim = f"mesh-test-database:{number}"
            if not claims.set(claim, os.getpid(), nx=True, ex=600):
                continue  # of a test run beside this one
            with redis.Redis.from_url(_numbered(base, number)) as client:
                if client.dbsize() == 0:
                    yield _numbered(base, number)
                    client.flushdb()
                    claims.delete(claim)
                    return
            claims.delete(claim)
    pytest.fail("REDIS_URL has no empty database to test in")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory for servers that a test starts, kills and stops itself."""
    folder = Path(tempfile.mkdtemp(prefix="mesh-test-"))
    folder.chmod(0o711)  # the servers' own account passes through when we are root
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _numbered(url: str, number: int) -> str:
    address = urlsplit(url)
    if address.scheme == "unix":
        return f"unix://{address.path}?db={number}"
    return address._replace(path=f"/{number}").geturl()
