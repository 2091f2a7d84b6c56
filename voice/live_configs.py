"""Configs of calls in progress, kept up to date beside the calls: reading one neither waits nor asks anybody.

Updates come by Redis; every few seconds PostgreSQL is asked as well, once for all of them, because news may be
lost. What is over or cannot be read changes nothing: a call goes on with what it has.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error, close_old_connections
from redis.asyncio import Redis
from redis.exceptions import RedisError

from .config import SessionConfig
from .config_parsing import ConfigInvalid
from .session_copies import CHANNEL, Copy
from .sessions import config_of, copies_since

logger = logging.getLogger(__name__)

POLL: Final = 2.0  # seconds between two looks at PostgreSQL
_SILENCE: Final = 2.0  # after this much of it Redis is asked for a sign of life


class LiveConfig:
    """The config of one call: `config()` is the newest one. Close it when the call is over."""

    def __init__(self, owner: "LiveConfigs", session_id: str, config: SessionConfig) -> None:
        self.session_id = session_id
        self._owner = owner
        self._config = config

    def __call__(self) -> SessionConfig:
        return self._config

    def offer(self, config: SessionConfig) -> None:
        """Take a config if it is newer."""
        if config.version > self._config.version:
            self._config = config

    def close(self) -> None:
        """Stop following the session. Idempotent; the config stays readable."""
        self._owner.forget(self)


class LiveConfigs:
    """The live configs of one event loop. It works only while there are any."""

    def __init__(self) -> None:
        self._open: WeakSet[LiveConfig] = WeakSet()
        self._tasks: list[asyncio.Task[None]] = []

    def watch(self, session_id: str, config: SessionConfig) -> LiveConfig:
        """Follow a session from `config` on. To be called on the event loop; does not wait."""
        live = LiveConfig(self, session_id, config)
        self._open.add(live)
        if not any(not task.done() for task in self._tasks):
            self._tasks = [asyncio.create_task(self._poll(), name="live-configs")]
            if settings.REDIS_URL:
                self._tasks.append(asyncio.create_task(self._listen(), name="live-config-news"))
        return live

    def forget(self, live: LiveConfig) -> None:
        self._open.discard(live)
        if not self._open:
            for task in self._tasks:
                task.cancel()
            self._tasks = []

    async def aclose(self) -> None:
        """Stop following all sessions; returns when nothing runs any more."""
        tasks, self._tasks = self._tasks, []
        self._open.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def take(self, copy: Copy) -> None:
        """Hand a session's new config to its calls."""
        calls = [live for live in self._open if live.session_id == copy.session_id]
        if not calls:
            return
        try:
            config = config_of(copy)
        except ConfigInvalid as error:
            logger.error("the config of session %s cannot be used: %s", copy.session_id, error)
            return
        for live in calls:
            live.offer(config)

    async def _poll(self) -> None:
        while True:
            versions: dict[str, int] = {}
            for live in self._open:
                versions[live.session_id] = min(live().version, versions.get(live.session_id, live().version))
            try:
                for copy in await sync_to_async(_newer, thread_sensitive=False)(versions):
                    self.take(copy)
            except Error as error:
                logger.warning("session configs could not be read: %s", error)
            await asyncio.sleep(POLL)

    async def _listen(self) -> None:
        # redis-py may turn a cancellation into its own time-out: whether to go on is asked of ourselves.
        while asyncio.current_task() in self._tasks:
            with suppress(RedisError, OSError, TimeoutError):
                await self._hear()
            if asyncio.current_task() in self._tasks:
                await asyncio.sleep(_SILENCE)

    async def _hear(self) -> None:
        """Take what is announced. Raises when Redis is away, or accepts and then says nothing."""
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
                if message["type"] == "message":
                    with suppress(ValueError):
                        self.take(Copy.unpack(message["data"]))


def _newer(versions: dict[str, int]) -> list[Copy]:
    try:
        return copies_since(versions)
    finally:
        close_old_connections()


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, LiveConfigs] = WeakKeyDictionary()


def live_config(session_id: str, config: SessionConfig) -> LiveConfig:
    """Follow a session on the running event loop, from the config that the call begins with."""
    loop = asyncio.get_running_loop()
    if loop not in _by_loop:
        _by_loop[loop] = LiveConfigs()
    return _by_loop[loop].watch(session_id, config)
