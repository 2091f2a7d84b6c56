"""Telling waiters (`?wait`, SSE) that a run has moved: one notifier per process, however many wait.

Workers publish the ids of runs they have written to. The notifier collects them, asks the database once
for all of them, and wakes those who watch; without Redis it asks once a second for all that is watched.
Waiters hold no connection and make no queries of their own to find out whether something has changed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import Error
from redis.asyncio import Redis
from redis.exceptions import RedisError

from web.statements import Statement
from web.views import in_database

from .lifecycle import TERMINAL
from .notices import CHANNEL, ENDS

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
        self._listening: set[str] = set()  # the channels that are heard
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._streams = 0  # watches that want to hear of each step

    @asynccontextmanager
    async def watch(self, subject: str, *, every_step: bool = False) -> AsyncIterator[Watch]:
        """Watch a run, or a task until it has a run, by its id: for its end, or for all that happens."""
        watch = Watch()
        self._streams += every_step
        self._watches.setdefault(subject, set()).add(watch)
        self._ask(subject)
        self._start("answers", self._answer)
        if settings.REDIS_URL:
            self._start(ENDS, partial(self._listen, ENDS))
            if every_step:
                self._start(CHANNEL, partial(self._listen, CHANNEL))
        try:
            yield watch
        finally:
            self._streams -= every_step
            others = self._watches[subject]
            others.discard(watch)
            if not others:
                del self._watches[subject]

    def _ask(self, subject: str) -> None:
        self._asked.add(subject)
        self._wake.set()

    def _start(self, name: str, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = asyncio.create_task(job(), name=f"run news: {name}")

    def _stop_listening(self, channel: str) -> None:
        if task := self._tasks.pop(channel, None):
            task.cancel()
        self._listening.discard(channel)

    async def _answer(self) -> None:
        """Ask the database on behalf of all watchers; end when there have been none for a while."""
        loop = asyncio.get_running_loop()
        last_watched = last_stream = loop.time()
        while True:
            if self._watches:
                last_watched = loop.time()
            elif loop.time() - last_watched > _LINGER:
                self._stop_listening(ENDS)
                self._stop_listening(CHANNEL)
                return
            if self._streams:
                last_stream = loop.time()
            elif loop.time() - last_stream > _LINGER:
                self._stop_listening(CHANNEL)
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
            news = await in_database(_read)(subjects)
        except Error as error:
            logger.warning("watched runs could not be read: %s", error)
            await asyncio.sleep(_POLL)
            return
        for subject in subjects:
            for watch in self._watches.get(subject, ()):
                watch.tell(news.get(subject, GONE))

    def _patience(self) -> float:
        without_run = any(subject.startswith("task_") for subject in self._watches)
        wanted = {ENDS, CHANNEL} if self._streams else {ENDS}
        return _SAFETY_POLL if wanted <= self._listening and not without_run else _POLL

    async def _listen(self, channel: str) -> None:
        while True:
            try:
                await self._hear(channel)
            except (RedisError, OSError, TimeoutError) as error:
                if channel in self._listening:
                    logger.warning("no notices from Redis, polling instead: %s", error)
                self._listening.discard(channel)
                self._wake.set()
                await asyncio.sleep(_SILENCE)

    async def _hear(self, channel: str) -> None:
        """Collect notices. Raises when Redis is away, or accepts and then says nothing."""
        # redis-py's default socket_timeout of 5 s would end an idle subscription.
        client = Redis.from_url(settings.REDIS_URL, socket_timeout=None, socket_connect_timeout=1)
        async with client, client.pubsub() as pubsub:
            await asyncio.wait_for(pubsub.subscribe(channel), 1)
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
                self._listening.add(channel)
                if message["type"] == "message":
                    run_id = message["data"].decode()
                    if run_id in self._watches:
                        self._ask(run_id)


_NEWS = Statement(
    """
SELECT id, event_seq, state, NULL FROM tasks_run WHERE id = ANY(%(subjects)s)
UNION ALL SELECT id, NULL, NULL, run_id FROM tasks_task WHERE id = ANY(%(tasks)s)
"""
)


def _read(subjects: Sequence[str]) -> dict[str, RunNews]:
    tasks = [subject for subject in subjects if subject.startswith("task_")]
    return {
        id_: RunNews(run_id=run_id) if state is None else RunNews(seq, state in TERMINAL)
        for id_, seq, state, run_id in _NEWS.rows({"subjects": list(subjects), "tasks": tasks})
    }


_notifiers: WeakKeyDictionary[asyncio.AbstractEventLoop, Notifier] = WeakKeyDictionary()


def get_notifier() -> Notifier:
    """The notifier of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _notifiers:
        _notifiers[loop] = Notifier()
    return _notifiers[loop]
