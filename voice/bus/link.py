"""The connection of one process and event loop to NATS. Publishing never waits and never raises."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

log = structlog.get_logger(__name__)

MOST: Final = 20_000  # messages that wait to be written
START_SECONDS: Final = 2.0
_CLOSING_SECONDS: Final = 1.0
_COMPLAINT_SECONDS: Final = 10.0


class Link:
    """`start` and `aclose` on the loop that uses it; reconnects for ever. What is published while there is no
    connection is dropped (`dropped` counts): whoever needs it does the work himself."""

    def __init__(self, url: str, name: str, on_lost: Callable[[], None] = lambda: None) -> None:
        self.dropped = 0
        self._url = url
        self._name = name
        self._on_lost = on_lost
        self._client = Client()
        self._out: deque[tuple[str, bytes, str]] = deque()
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._complained = 0.0
        self._closing = False

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def client(self) -> Client:
        """For JetStream."""
        return self._client

    async def start(self, seconds: float = START_SECONDS) -> None:
        """Connect; return when that is done, or after so many seconds, when it is still being tried."""
        connecting = asyncio.create_task(self._connect(), name="nats-connect")
        self._tasks = [connecting, asyncio.create_task(self._write(), name="nats-write")]
        await asyncio.wait({connecting}, timeout=seconds)

    async def connected_once(self) -> None:
        """Return when there has been a connection."""
        await asyncio.shield(self._tasks[0])

    async def subscribe(self, subject: str, handler: Callable[[Any], None], queue: str = "") -> Any:
        """Have `handler` told every message, on the loop. It survives reconnections."""

        async def told(message: Any) -> None:
            try:
                handler(message)
            except Exception:
                log.exception("a message could not be handled", subject=message.subject)

        return await self._client.subscribe(subject, queue=queue, cb=told)

    def publish(self, subject: str, data: bytes, reply: str = "") -> bool:
        """Send; False when it was dropped."""
        if not self.connected or len(self._out) >= MOST:
            self.dropped += 1
            return False
        self._out.append((subject, data, reply))
        self._wake.set()
        return True

    async def flush(self) -> None:
        """Return when the server has all that was published."""
        while self._out and self.connected:
            self._wake.set()
            await self._written.wait()
        with suppress(NatsError, OSError, TimeoutError):
            await self._client.flush(timeout=1)

    async def aclose(self) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(NatsError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._client.close()

    async def _connect(self) -> None:
        while True:
            try:
                await self._client.connect(
                    self._url,
                    name=self._name,
                    error_cb=self._failed,
                    disconnected_cb=self._lost,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.5,  # type: ignore[arg-type]
                    connect_timeout=2,
                    ping_interval=5,
                    max_outstanding_pings=2,
                )
                return
            except (NatsError, OSError, TimeoutError) as error:
                await self._failed(error)
                await asyncio.sleep(1)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._written.clear()
            while self._out:
                subject, data, reply = self._out.popleft()
                try:
                    await self._client.publish(subject, data, reply=reply)
                except (NatsError, OSError) as error:
                    self.dropped += 1
                    await self._failed(error)
            self._written.set()

    async def _lost(self) -> None:
        self._out.clear()
        if not self._closing:
            self._on_lost()

    async def _failed(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained >= _COMPLAINT_SECONDS:
            self._complained = now
            log.warning("NATS", error=f"{type(error).__name__}: {error}"[:200], url=_public(self._url))


def _public(url: str) -> str:
    """An address without its password."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]
