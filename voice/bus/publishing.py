"""What happens in calls, and how configs change, published on JetStream: from any thread, at once, behind everybody.

One thread a process, with a loop and a connection of its own, so that a slow server holds up nobody. Each message
has an id: one that is sent twice after a broken connection is kept once.
"""

import asyncio
import atexit
import os
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
import structlog
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import Error as JetStreamError

from voice import metrics

from .link import Link
from .subjects import Subjects

log = structlog.get_logger(__name__)

MOST: Final = 10_000  # messages that wait for the server
BATCH: Final = 64  # sent before their acknowledgements are awaited
KEPT_SECONDS: Final = 7 * 86_400
KEPT_BYTES: Final = 256 * 2**20
KEPT_CONFIGS: Final = 5  # versions of each session
ACK_SECONDS: Final = 2.0
_PAUSE: Final = 1.0
_FINISH_SECONDS: Final = 2.0

Item = tuple[str, bytes, str]


class Publisher:
    """`put` from any thread. Beyond `most` the oldest are dropped, and counted."""

    def __init__(self, url: str, subjects: Subjects, *, most: int = MOST) -> None:
        self.dropped = 0
        self.published = 0
        self._url = url
        self.subjects = subjects
        self._most = most
        self._queue: deque[Item] = deque()
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="nats-publisher", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def put(self, subject: str, payload: Mapping[str, Any], id: str = "") -> None:
        """Queue a message; returns at once."""
        if len(self._queue) >= self._most:
            with suppress(IndexError):
                self._queue.popleft()
            self.dropped += 1
            metrics.bus_dropped()
        self._idle.clear()
        self._queue.append((subject, orjson.dumps(payload, default=str), id or uuid.uuid4().hex))
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._wake.set)

    def flush(self, seconds: float = _FINISH_SECONDS) -> bool:
        """Wait until the server has everything; tell whether it has."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """Give what waits a moment, and end the thread. Idempotent."""
        atexit.unregister(self.close)
        if self._closing:
            return
        self.flush()
        self._closing = True
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)
        self._thread.join(_FINISH_SECONDS)

    # ---- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._publish())

    async def _publish(self) -> None:
        link = Link(self._url, f"mesh-publisher-{os.getpid()}")
        await link.start(0)
        try:
            await self._until_closing(link.connected_once())
            ready = False
            while not self._closing:
                if not self._queue:
                    self._idle.set()
                    if self._queue:  # put between the two
                        self._idle.clear()
                        continue
                    await self._wake.wait()
                    self._wake.clear()
                    continue
                try:
                    if not ready:
                        await ensure_streams(link, self.subjects)
                        ready = True
                    await self._send(link)
                except (NatsError, JetStreamError, OSError, TimeoutError) as error:
                    ready = False
                    log.warning(
                        "events are not published now", error=f"{type(error).__name__}: {error}"[:200]
                    )
                    await self._until_closing(asyncio.sleep(_PAUSE))
        finally:
            await link.aclose()

    async def _send(self, link: Link) -> None:
        """Publish a batch, in order. What is not acknowledged is put back, in its place."""
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        stream = link.client.jetstream(timeout=ACK_SECONDS)
        sent = await asyncio.gather(
            *(stream.publish(subject, data, headers={"Nats-Msg-Id": id}) for subject, data, id in batch),
            return_exceptions=True,
        )
        failed = [item for item, answer in zip(batch, sent, strict=True) if isinstance(answer, BaseException)]
        self.published += len(batch) - len(failed)
        if failed:
            self._queue.extendleft(reversed(failed))
            raise next(answer for answer in sent if isinstance(answer, BaseException))

    async def _until_closing(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        while not task.done() and not self._closing:
            waking = asyncio.ensure_future(self._wake.wait())
            await asyncio.wait({task, waking}, return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
            self._wake.clear()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._wake.set()


async def ensure_streams(link: Link, subjects: Subjects) -> None:
    """Make the streams, or bring them up to date."""
    manager = link.client.jetstream(timeout=ACK_SECONDS)
    for name, subject in subjects.streams.items():
        config = StreamConfig(
            name=name,
            subjects=[subject],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=KEPT_SECONDS,
            max_bytes=KEPT_BYTES,
            max_msgs_per_subject=KEPT_CONFIGS if name.endswith("CONFIG") else -1,
            duplicate_window=120,
        )
        try:
            await manager.add_stream(config)
        except JetStreamError:  # it is there, made by another version
            await manager.update_stream(config)
