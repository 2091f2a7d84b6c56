"""Steps as Celery's task events: they arrive over a real Redis, and never hold up the engine."""

import contextlib
import socket
import time
from typing import Any

from celery import Celery

from tasks.worker.flower import QUEUE_SIZE, StepEvents


def test_it_sends_a_step_as_a_task_with_its_own_times(redis_url: str) -> None:
    url = redis_url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=")
    app = Celery("test", broker=url, set_as_current=False)
    heard: list[dict[str, Any]] = []
    events = StepEvents(app, "worker-1@test", enabled=True)
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": heard.append})
        with receiver.consumer_context(wakeup=False) as (listening, _, _):
            with contextlib.suppress(TimeoutError):
                listening.drain_events(timeout=1)  # subscribes; what is sent before that nobody hears
            before = time.time()
            events.started("step_1", "delegate", "Content Specialist", "run_1")
            events.succeeded("step_1", 1.5, "412 tokens")
            events.failed("step_2", "refused")
            deadline = time.monotonic() + 10
            while len(heard) < 4 and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    listening.drain_events(timeout=1)
    events.close()
    assert [event["type"] for event in heard] == [
        "task-received",
        "task-started",
        "task-succeeded",
        "task-failed",
    ]
    assert heard[0]["name"] == "step.delegate"
    assert heard[0]["uuid"] == heard[1]["uuid"] == heard[2]["uuid"] == "step_1"
    assert heard[2]["runtime"] == 1.5
    assert {event["hostname"] for event in heard} == {"worker-1@test"}
    assert before <= heard[0]["timestamp"] <= time.time()


def test_it_drops_events_instead_of_waiting_for_a_hung_broker() -> None:
    with socket.socket() as silent:  # accepts and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        events = StepEvents(
            Celery("test", broker=f"redis://127.0.0.1:{silent.getsockname()[1]}/0", set_as_current=False),
            "worker-1@test",
            enabled=True,
        )
        for number in range(QUEUE_SIZE):
            events.started(f"step_{number}", "delegate", "x", "run_1")
        assert events.dropped > 0
        began = time.monotonic()
        events.close(timeout=0.1)
        assert time.monotonic() - began < 2
    assert events._thread is not None
    events._thread.join(15)  # the socket is closed now, so it notices and ends
    assert not events._thread.is_alive()


def test_it_starts_nothing_when_disabled() -> None:
    events = StepEvents(
        Celery("test", broker="redis://127.0.0.1:1/0", set_as_current=False), "w@test", enabled=False
    )
    events.started("step_1", "delegate", "x", "run_1")
    events.succeeded("step_1", 1, "")
    events.failed("step_1", "")
    events.close()
    assert events._thread is None
