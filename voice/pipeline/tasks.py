"""The `asyncio.Task`s of one call: none is lost, none outlives it, none fails unseen."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """`on_error` is told what went wrong in a task that nobody awaits."""

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)

    async def aclose(self, seconds: float) -> set[asyncio.Task[Any]]:
        """Cancel all and wait for their ends. Returns those that had not ended in time."""
        for task in self._running:
            task.cancel()
        if not self._running:
            return set()
        _, late = await asyncio.wait(self._running, timeout=seconds)
        return late
