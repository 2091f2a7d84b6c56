"""Shows steps in Flower. Steps are coroutines that Celery never sees, so it is told by events of our own.

Each step appears as a task `step.<kind>` with the step's id, its label and its true duration. A bounded
queue and a thread with a connection of its own stand between the engine and the broker: when the broker
hangs, the queue fills and events are dropped. Nothing is lost by that but a line in Flower.
"""

import contextlib
import queue
import threading
import time
from typing import Any, Final

import structlog
from celery import Celery
from kombu import Connection

log = structlog.get_logger(__name__)

QUEUE_SIZE: Final = 2_000
PAUSE_SECONDS: Final = 5.0  # after a failure; what comes in meanwhile is old news and dropped
_STOP: Final[tuple[str, float, dict[str, Any]]] = ("", 0.0, {})

_Event = tuple[str, float, dict[str, Any]]


class StepEvents:
    """Sends Celery's task events for steps. Its methods never block and never raise.

    `hostname` is the Celery worker's, so that Flower counts the steps as that worker's. Disabled, nothing
    is started and a call costs one comparison.
    """

    def __init__(self, app: Celery, hostname: str, enabled: bool) -> None:
        self._app = app
        self._hostname = hostname
        self._enabled = enabled and bool(app.conf.broker_url)
        self._queue: queue.Queue[_Event] = queue.Queue(QUEUE_SIZE)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self.dropped = 0

    def started(self, step_id: str, kind: str, label: str, run_id: str) -> None:
        """A worker has claimed the step and begins."""
        if not self._enabled:
            return
        self._put(
            "task-received",
            uuid=step_id,
            name=f"step.{kind}",
            args=repr((label,)),
            kwargs=repr({"run_id": run_id}),
            root_id=run_id,
            retries=0,
        )
        self._put("task-started", uuid=step_id)

    def succeeded(self, step_id: str, runtime: float, result: str) -> None:
        """The step ended after `runtime` seconds; `result` is a few words about it."""
        if self._enabled:
            self._put("task-succeeded", uuid=step_id, runtime=runtime, result=result[:200])

    def failed(self, step_id: str, exception: str) -> None:
        """The step failed, was cancelled, or gave its slot back; `exception` says which."""
        if self._enabled:
            self._put("task-failed", uuid=step_id, exception=exception[:200], traceback="")

    def close(self, timeout: float = 2.0) -> None:
        """Send what is waiting, for no longer than `timeout`, and end the thread."""
        if self._thread is None:
            return
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(_STOP)  # only wakes a thread that waits for events
        self._thread.join(timeout)

    def _put(self, event: str, **fields: Any) -> None:
        if self._thread is None:
            self._start()
        try:
            self._queue.put_nowait((event, time.time(), fields))
        except queue.Full:
            self.dropped += 1

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flower-events", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._send_all()
            except (
                Exception
            ) as error:  # a broker's library raises what it likes; none of it may end the thread
                log.warning("step events are not sent", error=repr(error))
                self._closing.wait(PAUSE_SECONDS)
                self._forget()

    def _forget(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
                self.dropped += 1

    def _send_all(self) -> None:
        options = {"socket_connect_timeout": 1, "socket_timeout": 5, "socket_keepalive": True}
        with Connection(
            self._app.conf.broker_url, transport_options=options, connect_timeout=1
        ) as connection:
            dispatcher = self._app.events.Dispatcher(
                connection, hostname=self._hostname, buffer_while_offline=False
            )
            while not (self._closing.is_set() and self._queue.empty()):
                event, at, fields = self._queue.get()
                if event:
                    dispatcher.send(event, timestamp=at, **fields)
