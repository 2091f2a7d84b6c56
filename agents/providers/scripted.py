"""A provider that says what a test wrote down for it, and knows when the test expected more calls."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from .base import reply_chunks
from .types import Chunk, ModelRequest, Reply

# One call: a whole reply, a failure, or chunks in order (an Event is waited for, an exception raised).
Step = Reply | Exception | Sequence[Chunk | Exception | asyncio.Event]


class ScriptedProvider:
    """Answers the n-th call with the n-th step. `requests` holds what was asked, oldest first."""

    def __init__(self, script: Iterable[Step] = ()) -> None:
        self.requests: list[ModelRequest] = []
        self.closed = False
        self._script = list(script)

    def add(self, *steps: Step) -> None:
        """Append to the script."""
        self._script.extend(steps)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Play the next step. Raises `AssertionError` when the script has ended."""
        self.requests.append(request)
        assert self._script, f"call {len(self.requests)} was not scripted: {request}"
        step = self._script.pop(0)
        parts: Sequence[Any] = [step] if isinstance(step, Exception) else step  # type: ignore[assignment]
        if isinstance(step, Reply):
            parts = reply_chunks(step)
        for part in parts:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, asyncio.Event):
                await part.wait()
                continue
            yield part

    async def aclose(self) -> None:
        self.closed = True

    def assert_complete(self) -> None:
        """Raise `AssertionError` unless every step was asked for."""
        assert not self._script, f"{len(self._script)} scripted calls never came: {self._script}"
