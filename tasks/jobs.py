"""Background jobs: hints by the names of what they wake. What is run is decided by the claim."""

from typing import Any

from celery import Task, shared_task

from tasks.engine.executor import EXECUTORS
from tasks.worker import runtime


def _hint(kind: str) -> "Task[Any, str]":
    @shared_task(name=f"mesh.{kind}", ignore_result=True)
    def job(step_id: str, run_id: str = "") -> str:
        runtime.wake()
        return f"woke the engine for {step_id}"

    job.__doc__ = f"A {kind} step is ready."
    return job


HINTS = {kind: _hint(kind) for kind in EXECUTORS}
