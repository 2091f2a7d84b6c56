"""Telling watchers (`?wait`, SSE, WebSocket) that a run has news, over Redis.

A notice carries the run's id and nothing else: watchers read the event table. Losing one costs a watcher
its fallback poll. Publishing never blocks the caller. The end of a run has a channel of its own: those who
wait for nothing else, which is nearly everybody, need not hear of each step.
"""

import os
import queue
import threading
import time
from contextlib import suppress

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

CHANNEL = "mesh.runs"
ENDS = "mesh.ends"


class NoticePublisher:
    """One thread a process, a bounded queue, and silence while Redis is away."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, str]] = queue.Queue(2_000)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def publish(self, run_id: str, *, ended: bool = False) -> None:
        if not settings.REDIS_URL:
            return
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
                    self._thread.start()
        with suppress(queue.Full):
            self._queue.put_nowait((ENDS if ended else CHANNEL, run_id))

    def _run(self) -> None:
        import redis

        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
        while True:
            wanted = {self._queue.get()}
            while not self._queue.empty() and len(wanted) < 100:
                wanted.add(self._queue.get_nowait())
            try:
                with client.pipeline(transaction=False) as pipe:
                    for channel, run_id in wanted:
                        pipe.publish(channel, run_id)
                    pipe.execute()
            except redis.RedisError as error:
                log.debug("notices are not delivered", error=str(error)[:200])
                time.sleep(1)  # watchers poll meanwhile


_publisher = NoticePublisher()


def _renew_after_fork() -> None:
    global _publisher
    _publisher = NoticePublisher()


os.register_at_fork(after_in_child=_renew_after_fork)


def publish_notice(run_id: str, *, ended: bool = False) -> None:
    """Tell watchers of a run that something was committed, or that it may have ended. Call after commit."""
    _publisher.publish(run_id, ended=ended)
