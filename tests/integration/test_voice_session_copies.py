"""Session configs in Redis, and in calls that run: with Redis, without it, flushed, hung, and back again."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from networks.models import Project
from voice import live_configs, session_copies, sessions
from voice.config_parsing import parse
from voice.live_configs import LiveConfig, LiveConfigs
from voice.models import VoiceSession
from voice.session_copies import PREFIX, Copies, Copy
from web.views import in_database

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    """The link of a process that has just started."""
    fresh = Copies(sessions._present_copy)
    monkeypatch.setattr(sessions, "_copies", fresh)
    return fresh


@pytest.fixture
def store(settings: Any, redis_url: str) -> Iterator["redis.Redis"]:
    """Redis, as the service uses it."""
    settings.REDIS_URL = redis_url
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def hung(settings: Any) -> Iterator[None]:
    """A Redis that accepts and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        yield


@pytest.fixture
async def live() -> AsyncIterator[LiveConfigs]:
    owner = LiveConfigs()
    yield owner
    await owner.aclose()


def start(ttl_seconds: int = 60) -> VoiceSession:
    project = Project.objects.create(name="Acme")
    return sessions.create_session(
        project=project, config=parse({"system_prompt": "one"}), provider="web", ttl_seconds=ttl_seconds
    )


def change(session: VoiceSession, prompt: str) -> VoiceSession:
    return sessions.update_session(session=session, config=parse({"system_prompt": prompt}))


async def until(true: Callable[[], Any]) -> None:
    """Wait for what nobody can announce to a test: another system's state."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_says(config: LiveConfig, prompt: str) -> None:
    await until(lambda: config().system_prompt == prompt)


# --- the copy ----------------------------------------------------------------------------------------


def test_it_keeps_a_copy_under_the_session_s_id_for_as_long_as_it_lives(store: "redis.Redis") -> None:
    session = start(ttl_seconds=60)
    kept = Copy.unpack(store.get(PREFIX + session.pk))  # type: ignore[arg-type]
    assert kept.config["system_prompt"] == "one"
    assert 58_000 < store.pttl(PREFIX + session.pk) <= 60_000
    sessions.extend_session(session=session, ttl_seconds=600)
    assert 598_000 < store.pttl(PREFIX + session.pk) <= 600_000
    sessions.end_session(session=session)
    assert not store.exists(PREFIX + session.pk)


def test_it_reads_the_copy_without_postgresql(store: "redis.Redis", copies: Copies) -> None:
    session = start()
    assert copies.get(session.pk) is not None
    VoiceSession.objects.all().delete()
    config = sessions.load_config(session.pk)
    assert config is not None
    assert config.system_prompt == "one"


def test_it_never_lets_an_older_version_replace_a_newer_one(store: "redis.Redis", copies: Copies) -> None:
    session = start()
    old = copies.get(session.pk)
    change(session, "two")
    assert old is not None
    copies.put(old, timezone.now())
    config = sessions.load_config(session.pk)
    assert config is not None
    assert (config.system_prompt, config.version) == ("two", 2)


def test_it_survives_a_flush(store: "redis.Redis") -> None:
    session = change(start(), "two")
    store.flushdb()
    config = sessions.load_config(session.pk)
    assert config is not None
    assert (config.system_prompt, config.version) == ("two", 2)


def test_it_survives_a_copy_that_cannot_be_read(store: "redis.Redis") -> None:
    session = start()
    store.set(PREFIX + session.pk, b"[1]")
    assert sessions.load_config(session.pk) is not None


def test_it_forgets_a_session_a_day_after_its_life(settings: Any) -> None:
    settings.REDIS_URL = ""
    old, late, living = start(), start(), start()
    hour = timedelta(hours=1)
    VoiceSession.objects.filter(pk=old.pk).update(expires_at=timezone.now() - 25 * hour)
    VoiceSession.objects.filter(pk=late.pk).update(expires_at=timezone.now() - 23 * hour)
    assert sessions.purge_sessions() == 1
    assert set(VoiceSession.objects.values_list("pk", flat=True)) == {late.pk, living.pk}


@pytest.mark.parametrize("how", ["expired", "ended"])
def test_it_has_no_config_of_a_session_that_is_over(settings: Any, how: str) -> None:
    settings.REDIS_URL = ""
    session = start()
    if how == "ended":
        sessions.end_session(session=session)
    else:
        VoiceSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert sessions.load_config(session.pk) is None
    with pytest.raises(VoiceSession.DoesNotExist):
        change(session, "two")
    with pytest.raises(VoiceSession.DoesNotExist):
        sessions.extend_session(session=session, ttl_seconds=60)


def test_it_asks_a_hung_redis_once_and_then_leaves_it_alone(
    hung: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Copies] = []
    real = Copies._connected

    def connected(copies: Copies) -> "redis.Redis":
        asked.append(copies)
        return real(copies)

    monkeypatch.setattr(Copies, "_connected", connected)
    session = change(start(), "two")
    for _ in range(5):
        config = sessions.load_config(session.pk)
        assert config is not None
        assert config.version == 2
    assert len(asked) == 1


async def test_it_brings_to_redis_what_it_has_missed(
    hung: None, redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_copies, "PAUSE", 0.02)
    session = await in_database(start)()
    session = await in_database(change)(session, "two")
    settings.REDIS_URL = redis_url
    with redis.Redis.from_url(redis_url) as client:
        await until(lambda: client.exists(PREFIX + session.pk))
        assert Copy.unpack(client.get(PREFIX + session.pk)).version == 2


# --- calls that run ----------------------------------------------------------------------------------


async def test_it_tells_a_call_by_redis(
    store: "redis.Redis", live: LiveConfigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_configs, "POLL", 3600)
    session = await in_database(start)()
    config = live.watch(session.pk, sessions.config_of(session))
    other = live.watch("session_other", parse({"system_prompt": "other"}))
    await until(lambda: store.pubsub_numsub(session_copies.CHANNEL)[0][1])
    await in_database(change)(session, "two")
    await until_says(config, "two")
    assert config().version == 2
    assert other().system_prompt == "other"


@pytest.mark.parametrize("redis_is", ["absent", "hung"])
async def test_it_tells_a_call_without_redis(
    redis_is: str, live: LiveConfigs, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_configs, "POLL", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings.REDIS_URL = "" if redis_is == "absent" else f"redis://127.0.0.1:{port}/0"
        session = await in_database(start)()
        config = live.watch(session.pk, sessions.config_of(session))
        await in_database(change)(session, "two")
        await until_says(config, "two")


async def test_it_leaves_a_call_its_config_when_the_session_is_over(
    live: LiveConfigs, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = ""
    monkeypatch.setattr(live_configs, "POLL", 0.02)
    session, other = await in_database(start)(), await in_database(start)()
    config = live.watch(session.pk, sessions.config_of(session))
    witness = live.watch(other.pk, sessions.config_of(other))
    await in_database(sessions.end_session)(session=session)
    await in_database(change)(other, "two")
    await until_says(witness, "two")  # it has looked again since
    assert config().system_prompt == "one"


async def test_it_takes_no_older_config_and_none_that_cannot_be_read(live: LiveConfigs) -> None:
    config = live.watch("session_1", replace(parse({"system_prompt": "two"}), version=2))
    copy = Copy("session_1", "project_1", 1, "web", {"system_prompt": "one"}, timezone.now())
    live.take(copy)
    assert config().system_prompt == "two"
    live.take(replace(copy, version=3, config={"system_prompt": 7}))
    assert config().system_prompt == "two"
    live.take(replace(copy, version=3))
    assert config().system_prompt == "one"


async def test_it_works_only_while_calls_run(live: LiveConfigs) -> None:
    before = asyncio.all_tasks()
    first, second = (live.watch("session_1", parse({})) for _ in range(2))
    tasks = asyncio.all_tasks() - before
    assert tasks
    first.close()
    assert not any(task.done() for task in tasks)
    second.close()
    second.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert asyncio.all_tasks() == before
