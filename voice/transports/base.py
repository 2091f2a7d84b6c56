"""What transports share: whom they tell what they hear, and how they send without waiting for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from voice.pipeline.ports import TransportClosed

SEND_SECONDS: Final = 1.0
MOST_KINDS: Final = 20  # of messages that are not understood, counted by name


class CallInput(Protocol):
    """A call, as its transport sees it (`voice.pipeline.call.Call`). Nothing here waits or raises."""

    def audio(self, payload: bytes, timestamp_ms: float | None) -> None:
        """The caller's next audio, in the transport's format; `timestamp_ms` is the carrier's, if it has one."""
        ...

    def mark(self, name: str) -> None: ...

    def digit(self, d: str) -> None: ...

    def end(self, reason: str) -> None:
        """The caller's side is over. Idempotent."""
        ...


async def within_limit(sending: Awaitable[None]) -> None:
    """Await a send for a second at most; whatever goes wrong, the caller's side is gone."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await sending
    except TimeoutError:
        raise TransportClosed("the caller's side does not take audio") from None
    except (OSError, RuntimeError) as error:  # servers raise these for a socket that is closed
        raise TransportClosed(str(error) or type(error).__name__) from error


SendText = Callable[[str], Awaitable[None]]
SendBytes = Callable[[bytes], Awaitable[None]]
Close = Callable[[], Awaitable[None]]
