"""Our own deadlines. An SDK's timeout is per read, so a server that drips bytes keeps it alive for ever."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from agents.providers.base import Provider
from agents.providers.errors import Failure, ProviderError
from agents.providers.types import Chunk, ModelRequest

Clock = Callable[[], float]  # seconds, monotonic


class Budget:
    """The time one request has over all its candidates and retries."""

    def __init__(self, total: float, clock: Clock = time.monotonic) -> None:
        self.total = total
        self._clock = clock
        self._ends_at = clock() + total

    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._ends_at - self._clock())

    def share_left(self) -> float:
        """What part of the whole is left, 0 to 1."""
        return self.left() / self.total if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds a single try may be silent. Its total comes from the budget.

    `first_byte` covers the connection and the vendor's thinking before the first chunk; `idle` is the
    longest gap between two chunks. A provider may yield an empty `TextDelta` as a sign of life (a ping,
    a thought), which counts as a chunk here and is nothing to a reader.
    With `stream=False` the whole reply comes at once: the first chunk is also the last, and only
    `whole_reply` and the total apply.
    """

    first_byte: float = 60.0
    idle: float = 60.0
    whole_reply: float = 180.0


# A vendor that was given less than this is not blamed for being late: the run's own time was up.
FAIR_SECONDS = 5.0


class Deadline:
    """Ends a try that is silent too long or takes too long, and closes its socket at once.

    `share` is how much of what is left of the budget one try may use, so that something is left for the
    next candidate. Raises `ProviderError` `deadline`.
    """

    def __init__(self, inner: Provider, deadlines: Deadlines, budget: Budget, *, share: float = 1.0) -> None:
        self._inner = inner
        self._deadlines = deadlines
        self._budget = budget
        self._share = share

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        total = self._budget.left() * self._share
        spare = self._budget.left() - total  # reserved for those after us
        limit = self._deadlines.first_byte if request.stream else self._deadlines.whole_reply
        waited_for = "first byte" if request.stream else "reply"
        stream = self._inner.stream(request)
        try:
            while True:
                left = self._budget.left() - spare
                # The timeout must not span the yield: it would cancel whoever consumes us.
                timeout = asyncio.timeout(min(limit, left))
                try:
                    async with timeout:
                        chunk = await anext(stream)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    if not timeout.expired():
                        raise  # not ours
                    what = f"{limit:g} s without a {waited_for}" if limit <= left else f"{total:.3g} s in all"
                    raise ProviderError(
                        Failure.DEADLINE,
                        f"The model took too long: {what}.",
                        model=request.model,
                        in_haste=total < min(limit, FAIR_SECONDS),
                    ) from error
                yield chunk
                if request.stream:
                    limit, waited_for = self._deadlines.idle, "byte"
        finally:
            await stream.aclose()

    async def aclose(self) -> None:
        await self._inner.aclose()
