"""The link to Redis that the workers share their breakers and limits over. It may be away at any time.

Calls never wait for it, except where they would otherwise have to refuse. A background task does the talking;
every command has 100 ms; when one fails the link is away, which the log says once, until a ping succeeds.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
T = TypeVar("T")

COMMAND_LIMIT: Final = 0.1  # seconds
QUIET: Final = 1.0  # seconds between two looks when nothing has changed
GONE: Final = 10_000  # milliseconds after which a silent worker no longer counts
SUBSCRIBE_AGAIN: Final = 2.0

# Say that this worker is here; return how many are.
_ROLL_CALL: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


class Participant(Protocol):
    """Something whose state is shared: the breakers, the limits."""

    async def synchronise(self, link: "Link") -> None:
        """Push what has changed here, then pull what has changed elsewhere."""
        ...


class Link:
    """One connection for commands, one for news. With an empty `url` it is away for good, and silent."""

    def __init__(self, url: str, prefix: str = "mesh:resilience:") -> None:
        self.prefix = prefix
        self.worker = secrets.token_hex(8)
        self.workers = (
            1  # how many share, as far as we know; what is local while Redis is away is one part of it
        )
        self.participants: list[Participant] = []
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._away_said = False
        self._redis: Redis | None = None
        self._present = False
        if url:
            # redis-py retries by itself, with pauses: ours is the only patience.
            self._redis = Redis.from_url(
                url,
                decode_responses=True,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=None,
                socket_connect_timeout=1,
            )

    @property
    def configured(self) -> bool:
        """Whether there is a Redis to share with, here or not."""
        return self._redis is not None

    @property
    def present(self) -> bool:
        """Whether the last command was answered in time."""
        return self._present

    @property
    def channel(self) -> str:
        """Where changes are announced; the message does not matter."""
        return self.prefix + "changed"

    async def start(self) -> None:
        """Begin to synchronise in the background; the first exchange is done when this returns."""
        if self._redis is None or self._tasks:
            return
        await self.synchronise()
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._listen())]

    async def aclose(self) -> None:
        """Push what is left, stop, and give the connections back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._redis is not None:
            if self._present:
                await self.synchronise()
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._redis.aclose()

    def wake(self) -> None:
        """Ask for an exchange now. Does not wait."""
        self._wake.set()

    async def synchronise(self) -> None:
        """Exchange state once. Does nothing, quietly, while Redis is away."""
        async with self._one_at_a_time:
            workers = await self.run(_ROLL_CALL, ["workers"], [self.worker, GONE], even_if_away=True)
            if workers is None:
                return
            self.workers = int(workers)
            for participant in self.participants:
                await participant.synchronise(self)

    async def run(
        self, script: str, keys: Sequence[str], args: Sequence[str | float], *, even_if_away: bool = False
    ) -> Any:
        """Run a Lua script on keys of ours. None means away."""
        names = [self.prefix + key for key in keys]
        return await self.ask(
            lambda redis: redis.eval(script, len(names), *names, *args),
            even_if_away=even_if_away,
        )

    async def ask(self, command: Callable[[Redis], Awaitable[T]], *, even_if_away: bool = False) -> T | None:
        """Run a command in 100 ms. None means away: decide locally."""
        if self._redis is None or not (self._present or even_if_away):
            return None
        try:
            async with asyncio.timeout(COMMAND_LIMIT):
                answer = await command(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            self._present = False
            if not self._away_said:
                self._away_said = True
                log.warning("Redis is away, breakers and limits are local to this process: %r", error)
            return None
        if not self._present:
            self._present = True
            if self._away_said:
                self._away_said = False
                log.warning("Redis is back, breakers and limits are shared again")
        return answer

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET):
                    await self._wake.wait()
                if not self._present:
                    await asyncio.sleep(COMMAND_LIMIT)  # what woke us cannot be sent: no busy loop
            self._wake.clear()
            try:
                await self.synchronise()
            except Exception:
                log.exception("breakers and limits could not be synchronised")

    async def _listen(self) -> None:
        """Wake at the news of others. Losing it costs no more than the quiet interval."""
        assert self._redis is not None
        while True:
            news: Any = self._redis.pubsub(ignore_subscribe_messages=True)
            try:
                async with asyncio.timeout(QUIET):
                    await news.subscribe(self.channel)
                async for _ in news.listen():
                    self.wake()
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(SUBSCRIBE_AGAIN)
            finally:
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await news.aclose()
