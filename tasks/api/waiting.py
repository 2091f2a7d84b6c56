"""`?wait`: a coroutine that waits for the end of a task or run before its view answers. It holds no connection."""

import asyncio

from django.http import HttpRequest

from networks.authentication import require_key
from networks.models import Scope
from tasks.lifecycle import TERMINAL
from tasks.notifier import get_notifier
from tasks.run_selectors import access_run_for
from tasks.selectors import access_task_for
from web import ratelimit
from web.views import in_database

from .runs import RunDetailQuery
from .serializers import TaskDetailQuery


def wants_to_wait(request: HttpRequest) -> bool:
    """Whether the caller asks for a task and is ready to wait."""
    return request.method == "GET" and "wait" in request.GET


async def wait_for_task(request: HttpRequest, *, network_id: str, task_id: str) -> None:
    """Return when the task has ended or its caller's patience has; who may not see it is refused at once."""
    seconds, subject = await in_database(_subject_of)(request, network_id, task_id)
    until = asyncio.get_running_loop().time() + seconds
    while subject is not None:
        subject = await _watch(subject, until)


def _subject_of(request: HttpRequest, network_id: str, task_id: str) -> tuple[float, str | None]:
    key = require_key(request, Scope.READ)
    ratelimit.spend(request)
    seconds = TaskDetailQuery.read(request.GET).get("wait", 0.0)
    task = access_task_for(key, network_id, task_id)
    if task.run is not None and task.run.state in TERMINAL:
        return seconds, None
    return seconds, task.run_id or task.pk


async def wait_for_run(request: HttpRequest, *, run_id: str) -> None:
    """Return when the run has ended or its caller's patience has."""
    seconds, over = await in_database(_patience_with)(request, run_id)
    if not over:
        await _watch(run_id, asyncio.get_running_loop().time() + seconds)


def _patience_with(request: HttpRequest, run_id: str) -> tuple[float, bool]:
    key = require_key(request, Scope.READ)
    ratelimit.spend(request)
    seconds = RunDetailQuery.read(request.GET).get("wait", 0.0)
    return seconds, access_run_for(key, run_id).state in TERMINAL


async def _watch(subject: str, until: float) -> str | None:
    """Watch one subject; return the run that a task has got meanwhile, or None when there is nothing to wait for."""
    loop = asyncio.get_running_loop()
    async with get_notifier().watch(subject) as watch:
        while (left := until - loop.time()) > 0:
            if not await watch.changed(left) or watch.news is None:
                continue
            if watch.news.finished:
                return None
            if watch.news.run_id is not None:
                return watch.news.run_id
    return None
