"""`?wait` and the event stream, as an ASGI server runs them, with Redis and without."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import pytest
import redis
from asgiref.sync import sync_to_async
from django.utils import timezone

from tasks.lifecycle import cancel_run, start_run
from tasks.models import Event, Run, Task
from tasks.notices import ENDS
from tasks.notifier import get_notifier
from web.views import in_database

from .conftest import Caller
from .streams import get, stream

pytestmark = pytest.mark.django_db(transaction=True)

Finish = Callable[..., None]


@pytest.fixture(params=["redis", "polling", "hung redis"])
async def news(request: pytest.FixtureRequest, settings: Any) -> AsyncIterator[Callable[[str], None]]:
    """How workers tell that a run has moved; without Redis, or with one that says nothing, they do not."""
    if request.param == "redis":
        client = redis.Redis.from_url(settings.REDIS_URL)
        yield lambda run_id: print(client.publish(ENDS, run_id), "heard of", run_id)
        client.close()
    elif request.param == "polling":
        settings.REDIS_URL = ""
        yield lambda run_id: None
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
            yield lambda run_id: None
    for task in get_notifier()._tasks.values():
        task.cancel()


async def frames(owner: Caller, path: str, **headers: str) -> list[dict[str, str]]:
    """Every frame until the stream ends; comments are left out."""
    text = b"".join([chunk async for chunk in stream(owner, path, **headers)])
    found = []
    for block in text.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "data" in fields:
            found.append(fields)
    return found


async def test_it_waits_for_the_end_of_a_task(
    owner: Caller, base: str, task: Task, finish_run: Finish, news: Callable[[str], None]
) -> None:
    run = await in_database(start_run)(task=task)
    waiting = asyncio.create_task(get(owner, f"{base}/tasks/{task.pk}?wait=20"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await in_database(finish_run)(task)
    await sync_to_async(news)(run.pk)
    response = await asyncio.wait_for(waiting, 5)
    assert response.json()["status"] == "completed"
    assert "RateLimit" in response.headers


async def test_it_waits_for_a_task_that_is_started_meanwhile(
    owner: Caller, base: str, task: Task, finish_run: Finish, news: Callable[[str], None]
) -> None:
    waiting = asyncio.create_task(get(owner, f"{base}/tasks/{task.pk}?wait=20"))
    await asyncio.sleep(0.2)
    run = await in_database(start_run)(task=task)
    await in_database(finish_run)(task)
    await sync_to_async(news)(run.pk)
    response = await asyncio.wait_for(waiting, 8)
    assert response.json()["status"] == "completed"


async def test_it_answers_as_things_are_when_patience_ends(owner: Caller, base: str, task: Task) -> None:
    await in_database(start_run)(task=task)
    response = await get(owner, f"{base}/tasks/{task.pk}?wait=0.2")
    assert (response.status_code, response.json()["status"]) == (200, "in_progress")


async def test_it_does_not_wait_for_what_has_ended(
    owner: Caller, base: str, task: Task, finish_run: Finish
) -> None:
    await in_database(start_run)(task=task)
    await in_database(finish_run)(task)
    path = f"{base}/tasks/{task.pk}?wait=60"
    response = await asyncio.wait_for(get(owner, path), 2)
    assert response.json()["status"] == "completed"


async def test_it_wakes_every_waiter_by_one_question(
    owner: Caller, base: str, task: Task, finish_run: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.notifier

    asked: list[Any] = []
    read = tasks.notifier._read

    def count_and_read(subjects: Any) -> Any:
        asked.append(subjects)
        return read(subjects)

    monkeypatch.setattr(tasks.notifier, "_read", count_and_read)
    run = await in_database(start_run)(task=task)
    path = f"{base}/tasks/{task.pk}?wait=20"
    waiting = [asyncio.create_task(get(owner, path)) for _ in range(100)]
    await asyncio.sleep(1.0)
    asked.clear()
    await in_database(finish_run)(task)
    with redis.Redis.from_url(await sync_to_async(_redis_url)()) as client:
        client.publish(ENDS, run.pk)
    responses = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert {response.json()["status"] for response in responses} == {"completed"}
    assert len(asked) <= 2


def _redis_url() -> str:
    from django.conf import settings

    return settings.REDIS_URL


async def test_it_streams_events_as_they_come(
    owner: Caller, base: str, task: Task, finish_run: Finish, news: Callable[[str], None]
) -> None:
    reading = asyncio.create_task(frames(owner, f"{base}/tasks/{task.pk}/events"))
    await asyncio.sleep(0.2)
    run = await in_database(start_run)(task=task)
    await asyncio.sleep(0.2)
    await in_database(finish_run)(task)
    await sync_to_async(news)(run.pk)
    found = await asyncio.wait_for(reading, 8)
    assert [frame.get("id") for frame in found] == [f"{run.pk}:1", f"{run.pk}:2", None]
    assert [frame["event"] for frame in found] == ["run.started", "run.completed", "done"]
    assert json.loads(found[0]["data"]).items() >= {"run_id": run.pk, "seq": 1, "type": "run.started"}.items()


@pytest.fixture
def long_run(task: Task, finish_run: Finish) -> Run:
    """A finished run of 1 + 500 + 1 events."""
    run = start_run(task=task)
    Event.objects.bulk_create(
        Event(run=run, seq=seq, type="step.started", payload={}, at=timezone.now()) for seq in range(2, 502)
    )
    Run.objects.filter(pk=run.pk).update(event_seq=501)
    finish_run(task)
    return run


@pytest.mark.parametrize("by", ["header", "after", "number"])
async def test_it_resumes_without_gap_or_repetition(
    owner: Caller, base: str, task: Task, long_run: Run, by: str
) -> None:
    path = f"{base}/tasks/{task.pk}/events"
    mark = f"{long_run.pk}:123"
    if by == "header":
        reading = frames(owner, f"{path}?after={long_run.pk}:7", Last_Event_ID=mark)
    else:
        reading = frames(owner, f"{path}?after={mark if by == 'after' else 123}")
    found = await asyncio.wait_for(reading, 5)
    assert [frame.get("id") for frame in found] == [*(f"{long_run.pk}:{n}" for n in range(124, 503)), None]


async def test_it_goes_on_with_the_run_that_took_its_place(owner: Caller, base: str, task: Task) -> None:
    @in_database
    def two_runs() -> tuple[Run, Run]:
        from tasks.lifecycle import retry_task

        first = start_run(task=task)
        cancel_run(run_id=first.pk)
        second = retry_task(task=task)
        cancel_run(run_id=second.pk)
        return first, second

    first, second = await two_runs()
    path = f"{base}/tasks/{task.pk}/events"
    found = await frames(owner, path)
    assert [frame.get("id") for frame in found] == [f"{second.pk}:1", f"{second.pk}:2", None]
    found = await frames(owner, path, Last_Event_ID=f"{first.pk}:1")
    assert [frame.get("id") for frame in found] == [f"{first.pk}:2", f"{second.pk}:1", f"{second.pk}:2", None]


async def test_it_sends_heartbeats_while_nothing_happens(
    owner: Caller, base: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.api.streaming.HEARTBEAT_EVERY", 0.1)
    await in_database(start_run)(task=task)
    text = b""
    chunks = stream(owner, f"{base}/tasks/{task.pk}/events")
    async for chunk in chunks:
        text += chunk
        if text.count(b": heartbeat\n\n") == 2:
            break
    await chunks.aclose()
    assert text.startswith(b"retry: ")


@pytest.mark.parametrize("mark", ["nonsense", "run_other:1", "1:2:3", "٣"])
async def test_it_refuses_a_mark_that_is_not_of_this_task(
    owner: Caller, base: str, task: Task, mark: str
) -> None:
    path = f"{base}/tasks/{task.pk}/events?after={quote(mark)}"
    response = await get(owner, path, Accept="text/event-stream")
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
