"""Limits of each key: told in headers, enforced, shared between processes, harmless when Redis hangs."""

import time
from typing import Any

import pytest
import redis

from networks.models import Project
from web.ratelimit import Counter

from .conftest import Caller, make_caller


@pytest.fixture
def limited(owner: Caller) -> Caller:
    Project.objects.filter(pk=owner.project.pk).update(requests_per_minute=3)
    return owner


@pytest.fixture(autouse=True)
def mid_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """No window ends during a test."""
    monkeypatch.setattr("web.ratelimit.time.time", lambda: 1_000_000_020.0)


def test_it_tells_the_limit_and_what_is_left(limited: Caller) -> None:
    response = limited.get("/api/mesh/networks")
    assert response.headers["RateLimit-Policy"] == '"default";q=3;w=60'
    assert response.headers["RateLimit"].startswith('"default";r=2;t=')


def test_it_refuses_beyond_the_limit_and_says_when_to_return(limited: Caller) -> None:
    statuses = [limited.get("/api/mesh/networks").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    response = limited.get("/api/mesh/networks")
    assert response.json()["code"] == "rate_limited"
    assert 0 < int(response.headers["Retry-After"]) <= 61
    assert response.headers["RateLimit"].startswith('"default";r=0;')


def test_it_limits_each_key_by_itself(limited: Caller) -> None:
    other = make_caller(limited.project, "read")
    for _ in range(4):
        limited.get("/api/mesh/networks")
    assert other.get("/api/mesh/networks").status_code == 200


def test_it_counts_over_all_processes(settings: Any, redis_url: str) -> None:
    settings.REDIS_URL = ""  # shared by hand below
    here, there = Counter(), Counter()
    now = 1_000_000_020.0
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(5):
            here.add("key", now)
            there.add("key", now)
        here.share(client, now)
        there.share(client, now)
        assert there.add("key", now) == 11
        here.add("key", now)
        here.share(client, now)
        assert here.add("key", now) == 12
        assert here.add("key", now + 60) == 1, "a new window"


def test_it_is_not_held_up_by_a_hung_redis(settings: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        counter = Counter()
        began = time.perf_counter()
        for _ in range(1000):
            counter.add("key", 1_000_000_020.0)
        assert time.perf_counter() - began < 1
        counter.stop()
