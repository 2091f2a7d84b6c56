"""The only retry loop: at most one more try at the same provider, jittered, inside the budget.

By hand, because a retry library keeps every exception it sees in its loop, and an async generator must
let `GeneratorExit` and `CancelledError` through.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from agents.providers.base import Provider
from agents.providers.errors import Failure, ProviderError
from agents.providers.types import Chunk, Done, ModelRequest, TextDelta

from .deadline import Budget
from .policy import SHORT_LIMIT, TABLE


def may_go_on(error: ProviderError) -> bool:
    """The default `on_failure`: nobody objects to a retry."""
    return True


def is_silent(chunk: Chunk) -> bool:
    """Tell whether a chunk shows nothing to a listener: a sign of life, or the end."""
    return isinstance(chunk, Done) or (isinstance(chunk, TextDelta) and not chunk.text)


class Retry:
    """Asks once more where the table says so.

    `listening`: chunks are passed on as they come, so a try that has shown some is not repeated. Otherwise
    they are held back until the reply is whole, and a cut stream starts again from scratch.
    `retries`: tries left after the first. `cap`: what a truncated reply is asked again with, once, which is
    no retry. `on_failure` hears of each failure that might be repeated and may object: the breaker.
    """

    def __init__(
        self,
        inner: Provider,
        budget: Budget,
        *,
        listening: bool = False,
        retries: int = 1,
        cap: int = 0,
        on_failure: Callable[[ProviderError], bool] = may_go_on,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._inner = inner
        self._budget = budget
        self._listening = listening
        self._retries = retries
        self._cap = cap
        self._on_failure = on_failure
        self._jitter = jitter

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        retries = self._retries
        while True:
            held: list[Chunk] = []
            shown = False
            stream = self._inner.stream(request)
            try:
                async for chunk in stream:
                    if self._listening:
                        shown = shown or not is_silent(chunk)
                        yield chunk
                    else:
                        held.append(chunk)
                for chunk in held:
                    yield chunk
                return
            except ProviderError as error:
                if error.category is Failure.TRUNCATED and request.max_tokens < self._cap:
                    request = replace(request, max_tokens=self._cap)
                    continue
                wait = self._wait(error)
                if retries < 1 or shown or wait is None or not self._on_failure(error):
                    raise
            finally:
                await stream.aclose()
            retries -= 1
            await asyncio.sleep(wait)

    def _wait(self, error: ProviderError) -> float | None:
        """Return the seconds before the next try; None where the table does not allow one."""
        if not TABLE[error.category].retry:
            return None
        if error.category is Failure.CONNECTION and not error.nothing_sent:
            return None  # the vendor may be at work on it
        left = self._budget.left()
        if error.retry_after is None:
            wait = None if error.category is Failure.RATE_LIMITED else self._jitter(0.1, 0.4)
        elif error.retry_after <= min(SHORT_LIMIT, left / 4):
            wait = error.retry_after + self._jitter(0.0, 0.1)
        else:
            wait = None
        return wait if wait is not None and wait < left else None

    async def aclose(self) -> None:
        await self._inner.aclose()
