"""What came from a service and was not read yet: messages by plain calls in, an iterator out."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

from agents.providers.errors import ProviderError

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue that can end well (`close`) or badly (`fail`). The first end counts; nothing comes after it."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[T | ProviderError | None] = asyncio.Queue()
        self.ended = False

    def put(self, item: T) -> None:
        if not self.ended:
            self._items.put_nowait(item)

    def fail(self, error: ProviderError) -> None:
        """Let the reader raise, after what came before."""
        if not self.ended:
            self.ended = True
            self._items.put_nowait(error)

    def close(self) -> None:
        """Let the reader end, after what came before."""
        if not self.ended:
            self.ended = True
            self._items.put_nowait(None)

    async def get(self) -> T | None:
        """Wait for the next item; None at the end. Raises what `fail` was given."""
        item = await self._items.get()
        if isinstance(item, ProviderError):
            try:
                raise item
            finally:
                del item  # an error keeps its frames, and this one would keep the error
        return item

    async def read(self) -> AsyncGenerator[T, None]:
        """Yield what comes until the end."""
        while (item := await self.get()) is not None:
            yield item
