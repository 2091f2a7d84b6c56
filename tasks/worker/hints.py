"""Hints: Celery messages that wake a worker. Losing one costs a poll and never work.

A bounded queue and one thread a process stand between the caller and the broker, so a hung broker holds
up nobody: the queue fills, and further hints are dropped and counted.
"""

import os
import queue
import threading
import time
from contextlib import suppress

import structlog

from tasks import metrics

log = structlog.get_logger(__name__)

QUEUE_SIZE = 5_000
QUEUE_NAME = "steps"
EXPIRES_SECONDS = 300
# What comes within this of the last message goes out as one: a claim takes all that is ready, whatever woke it.
PAUSE_SECONDS = 0.05


class HintPublisher:
    """Sends `mesh.<kind>` messages in the background."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, str, str]] = queue.Queue(QUEUE_SIZE)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._complained = 0.0

    def publish(self, kind: str, step_id: str, run_id: str) -> bool:
        """Hand over a hint without blocking; False when the queue is full and it was dropped."""
        if self._thread is None:
            self._start()
        try:
            self._queue.put_nowait((kind, step_id, run_id))
        except queue.Full:
            metrics.hint_dropped()
            return False
        return True

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        from celery import current_app

        while True:
            kind, step_id, run_id = self._newest()
            if not current_app.conf.broker_url:
                continue
            try:
                current_app.send_task(
                    f"mesh.{kind}",
                    args=[step_id],
                    kwargs={"run_id": run_id},
                    queue=QUEUE_NAME,
                    expires=EXPIRES_SECONDS,
                    ignore_result=True,
                    retry=False,
                )
            except Exception as error:  # the broker may fail in any of its libraries' ways
                metrics.hint_dropped()
                self._complain(error)
            else:
                metrics.hint_published()
            time.sleep(PAUSE_SECONDS)

    def _newest(self) -> tuple[str, str, str]:
        """Wait for a hint and take all there are; the last speaks for them."""
        hint = self._queue.get()
        with suppress(queue.Empty):
            while True:
                hint = self._queue.get_nowait()
        return hint

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained > 30:
            self._complained = now
            log.warning(
                "the broker does not take hints; workers find the work by themselves", error=str(error)[:200]
            )


_publisher = HintPublisher()


def _renew_after_fork() -> None:
    global _publisher
    _publisher = HintPublisher()


os.register_at_fork(after_in_child=_renew_after_fork)


def publish(kind: str, step_id: str, run_id: str) -> bool:
    """Hint that a step is ready. Call after commit."""
    return _publisher.publish(kind, step_id, run_id)
