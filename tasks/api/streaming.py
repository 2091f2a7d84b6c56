"""Events of tasks and runs as a stream: gap-free, because they are read from the table and never from notices."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from networks.authentication import require_key
from networks.models import Scope
from tasks import run_selectors, selectors
from tasks.notifier import get_notifier
from web import ratelimit
from web.problems import Invalid
from web.sse import HEARTBEAT, HEARTBEAT_EVERY, OPENING, event_stream, frame
from web.views import in_database

from .runs import position_in
from .serializers import EventQuery
from .tasks import position

_BATCH = 200


async def stream_events(request: HttpRequest, *, network_id: str, task_id: str) -> HttpResponseBase:
    """Answer with the stream; who may not see the task is refused before it begins."""
    run_id, seq = await in_database(_start)(request, network_id, task_id)
    return event_stream(_frames(task_id, run_id, seq))


async def stream_run_events(request: HttpRequest, *, run_id: str) -> HttpResponseBase:
    """Answer with the stream of one run; it ends with it."""
    seq = await in_database(_start_of_run)(request, run_id)
    return event_stream(_frames_of_run(run_id, seq))


def _start_of_run(request: HttpRequest, run_id: str) -> int:
    key = require_key(request, Scope.READ)
    ratelimit.spend(request)
    params = EventQuery.read(request.GET)
    run_selectors.access_run_for(key, run_id)
    return position_in(run_id, _last_seen(request, params))


async def _frames_of_run(run_id: str, seq: int) -> AsyncGenerator[str, None]:
    yield OPENING
    async with aclosing(_run_frames(run_id, seq)) as frames:
        async for text in frames:
            yield text
    yield frame({"run_id": run_id}, event="done")


def _start(request: HttpRequest, network_id: str, task_id: str) -> tuple[str | None, int]:
    key = require_key(request, Scope.READ)
    ratelimit.spend(request)
    params = EventQuery.read(request.GET)
    task = selectors.access_task_for(key, network_id, task_id)
    return position(task.pk, task.run_id, _last_seen(request, params))


def _last_seen(request: HttpRequest, params: dict[str, Any]) -> str | None:
    # A browser repeats the address it was given first, so what it saw last comes before `after`.
    last_seen: str | None = request.headers.get("Last-Event-ID") or params.get("after")
    if last_seen is not None and "\x00" in last_seen:
        raise Invalid("/header/Last-Event-ID", "Not an event of this task or run.")
    return last_seen


async def _frames(task_id: str, run_id: str | None, seq: int) -> AsyncGenerator[str, None]:
    """Events of the run, then of the one that took its place; `done` when the latest has ended."""
    yield OPENING
    while True:
        if run_id is None:
            async with get_notifier().watch(task_id) as watch:
                while watch.news is None or (watch.news.run_id is None and not watch.news.finished):
                    if not await watch.changed(HEARTBEAT_EVERY):
                        yield HEARTBEAT
                run_id = watch.news.run_id
        if run_id is not None:
            async with aclosing(_run_frames(run_id, seq)) as frames:
                async for text in frames:
                    yield text
        latest = await in_database(selectors.latest_run_id)(task_id)
        if latest is None or latest == run_id:
            yield frame({"task_id": task_id, "run_id": run_id}, event="done")
            return
        run_id, seq = latest, 0


async def _run_frames(run_id: str, seq: int) -> AsyncGenerator[str, None]:
    async with aclosing(follow(run_id, seq)) as events:
        async for event in events:
            if event is None:
                yield HEARTBEAT
            else:
                yield frame(event, event=event["type"], event_id=event["id"])


async def follow(run_id: str, seq: int) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Yield the events of one run after `seq`, until it has ended and all of them are told; None now and then
    when there is nothing to tell."""
    async with get_notifier().watch(run_id, every_step=True) as watch:
        while True:
            if not await watch.changed(HEARTBEAT_EVERY):
                yield None
                continue
            news = watch.news
            while news is not None and news.seq > seq:
                events = await in_database(selectors.events_after)(run_id, seq, _BATCH)
                if not events:
                    break
                for event in events:
                    yield selectors.event_data(event)
                    seq = event.seq
            if news is not None and news.finished:
                return
