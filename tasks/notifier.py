"""Telling waiters (`?wait`, SSE) that a run has moved: one notifier per process, however many wait.

Workers publish the ids of runs they have written to. The notifier collects them, asks the database once
for all of them, and wakes those who watch; without Redis it asks once a second for all that is watched.
Waiters hold no connection and make no queries of their own to find out whether something has changed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error, close_old_connections
from redis.asyncio import Redis
from redis.exceptions import RedisError

from .lifecycle import TERMINAL
from .models import Run, Task
from .notices import CHANNEL

logger = logging.getLogger(__name__)

_POLL = 1.0  # without news from Redis, and for tasks that have no run yet
_SAFETY_POLL = 5.0  # with news from Redis: a notice may have been lost
_BREATH = 0.01  # notices that come together are answered by one query
_SILENCE = 2.0  # after this much of it Redis is asked for a sign of life
_LINGER = 30.0  # how long the notifier stays after the last watcher has left


@dataclass(frozen=True, slots=True)
class RunNews:
    """Where a run stands. A task that is watched has `run_id` when it has got a run."""

    seq: int = 0
    finished: bool = False
    run_id: str | None = None


GONE = RunNews(finished=True)


@dataclass(eq=False, slots=True)
class Watch:
    """One waiter's view of one run (or of a task that has no run yet)."""

    news: RunNews | None = None
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def changed(self, timeout: float) -> bool:
        """Wait until the run moves; False when it did not within `timeout`. The first news comes at once."""
        try:
            async with asyncio.timeout(timeout):
                await self._moved.wait()
        except TimeoutError:
            return False
        self._moved.clear()
        return True

    def tell(self, news: RunNews) -> None:
        if news != self.news:
            self.news = news
            self._moved.set()


class Notifier:
    """The watches of one event loop."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._asked: set[str] = set()
        self._wake = asyncio.Event()
        self._listening = False
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def watch(self, subject: str) -> AsyncIterator[Watch]:
        """Watch a run, or a task until it has a run, by its id."""
        watch = Watch()
        self._watches.setdefault(subject, set()).add(watch)
        self._ask(subject)
        self._start()
        try:
            yield watch
        finally:
            others = self._watches[subject]
            others.discard(watch)
            if not others:
                del self._watches[subject]

    def _ask(self, subject: str) -> None:
        self._asked.add(subject)
        self._wake.set()

    def _start(self) -> None:
        if any(not task.done() for task in self._tasks):
            return
        self._tasks = [asyncio.create_task(self._answer(), name="run-news")]
        if settings.REDIS_URL:
            self._tasks.append(asyncio.create_task(self._listen(), name="run-notices"))

    async def _answer(self) -> None:
        """Ask the database on behalf of all watchers; end when there have been none for a while."""
        loop = asyncio.get_running_loop()
        last_watched = loop.time()
        while True:
            if self._watches:
                last_watched = loop.time()
            elif loop.time() - last_watched > _LINGER:
                for task in self._tasks[1:]:
                    task.cancel()
                return
            try:
                async with asyncio.timeout(self._patience()):
                    await self._wake.wait()
            except TimeoutError:
                self._asked.update(self._watches)
            await asyncio.sleep(_BREATH)
            self._wake.clear()
            subjects = [subject for subject in self._asked if subject in self._watches]
            self._asked.clear()
            if subjects:
                await self._tell(subjects)

    async def _tell(self, subjects: Sequence[str]) -> None:
        try:
            news = await sync_to_async(_read, thread_sensitive=False)(subjects)
        except Error as error:
            logger.warning("watched runs could not be read: %s", error)
            await asyncio.sleep(_POLL)
            return
        for subject in subjects:
            for watch in self._watches.get(subject, ()):
                watch.tell(news.get(subject, GONE))

    def _patience(self) -> float:
        without_run = any(subject.startswith("task_") for subject in self._watches)
        return _SAFETY_POLL if self._listening and not without_run else _POLL

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError, TimeoutError) as error:
                if self._listening:
                    logger.warning("no notices from Redis, polling instead: %s", error)
                self._listening = False
                self._wake.set()
                await asyncio.sleep(_SILENCE)

    async def _hear(self) -> None:
        """Collect notices. Raises when Redis is away, or accepts and then says nothing."""
        # redis-py's default socket_timeout of 5 s would end an idle subscription.
        client = Redis.from_url(settings.REDIS_URL, socket_timeout=None, socket_connect_timeout=1)
        async with client, client.pubsub() as pubsub:
            await asyncio.wait_for(pubsub.subscribe(CHANNEL), 1)
            asked_for_life = True  # the subscription's own confirmation
            while True:
                message = await pubsub.get_message(timeout=_SILENCE)
                if message is None:
                    if asked_for_life:
                        raise TimeoutError("no sign of life")
                    await asyncio.wait_for(pubsub.ping(), 1)
                    asked_for_life = True
                    continue
                asked_for_life = False
                self._listening = True
                if message["type"] == "message":
                    run_id = message["data"].decode()
                    if run_id in self._watches:
                        self._ask(run_id)


def _read(subjects: Sequence[str]) -> dict[str, RunNews]:
    try:
        runs = Run.objects.filter(pk__in=subjects).values_list("pk", "event_seq", "state")
        news = {pk: RunNews(seq, state in TERMINAL) for pk, seq, state in runs}
        task_ids = [subject for subject in subjects if subject.startswith("task_")]
        if task_ids:
            tasks = Task.objects.filter(pk__in=task_ids).values_list("pk", "run_id")
            news |= {pk: RunNews(run_id=run_id) for pk, run_id in tasks}
        return news
    finally:
        close_old_connections()


_notifiers: WeakKeyDictionary[asyncio.AbstractEventLoop, Notifier] = WeakKeyDictionary()


def get_notifier() -> Notifier:
    """The notifier of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _notifiers:
        _notifiers[loop] = Notifier()
    return _notifiers[loop]
