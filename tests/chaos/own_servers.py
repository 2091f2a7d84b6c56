"""Servers of a test's own, which it may stop."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from django.db import connections

from meshsite.embedded import EmbeddedServers

from .background import Background
from .door import Door


@dataclass
class OwnRedis:
    """A Redis of the test's own, behind a door."""

    background: Background
    servers: EmbeddedServers
    door: Door

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.door.port}/0"

    def restart(self) -> None:
        self.servers.stop()
        self.background.run(self.door.slam())
        self.servers.start()

    def flush(self) -> None:
        with redis.Redis.from_url(self.servers.redis_url) as client:
            client.flushall()

    def hang(self) -> None:
        self.background.run(self.door.go("hang"))

    def refuse(self) -> None:
        self.background.run(self.door.go("refuse"))

    def well(self) -> None:
        self.background.run(self.door.go("pass"))


@pytest.fixture
def own_redis(background: Background, data_dir: Path) -> Iterator[OwnRedis]:
    with EmbeddedServers(data_dir, postgres=False) as servers:
        door = background.enter(Door(servers.redis_url.removeprefix("unix://")))
        yield OwnRedis(background, servers, door)


@pytest.fixture
def own_postgres(data_dir: Path, transactional_db: None) -> Iterator[EmbeddedServers]:
    """A database server of the test's own, with our tables, which Django uses for as long as the test lasts."""
    with EmbeddedServers(data_dir, valkey=False) as servers:
        _migrate(servers.database_url)
        settings = connections["default"].settings_dict
        given = dict(settings)
        let_go()
        settings |= _settings(servers.database_url)
        try:
            yield servers
        finally:
            let_go()
            settings |= given


def let_go() -> None:
    """Close this process's connections: the server is about to change."""
    connections["default"].close()
    connections["default"].close_pool()  # type: ignore[attr-defined] # of the PostgreSQL backend


def _migrate(database_url: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        env={**os.environ, "DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "meshsite.settings"},
        check=True,
    )


def _settings(database_url: str) -> dict[str, object]:
    """Django's settings for an address on a unix socket."""
    address = urlsplit(database_url)
    query = parse_qs(address.query)
    return {
        "NAME": address.path.lstrip("/"),
        "USER": address.username or "",
        "PASSWORD": "",
        "HOST": query["host"][0],
        "PORT": query["port"][0],
    }
