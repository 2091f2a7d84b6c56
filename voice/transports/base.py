"""What transports share: whom they tell what they hear, and how they send without waiting for ever."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from voice.pipeline.ports import TransportClosed

log = logging.getLogger(__name__)

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
SendNow = Callable[[str | bytes], bool]
SendBytes = Callable[[bytes], Awaitable[None]]
Close = Callable[[], Awaitable[None]]


class SocketTransport:
    """What transports over a WebSocket of ours have in common. `sender` is who is named in the log; `send_now`
    sends at once and tells whether it could."""

    sender = ""

    def __init__(self, send: SendText, close: Close, send_now: SendNow | None = None) -> None:
        self.ignored: Counter[str] = Counter()  # events nobody knows, and frames that cannot be read
        self._send = send
        self._send_now = send_now or (lambda message: False)
        self._close = close
        self._closed = False

    async def aclose(self) -> None:
        """Close the socket. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._close()

    async def _put(self, text: str) -> None:
        if self._closed:
            raise TransportClosed("closed")
        if not self._send_now(text):
            await within_limit(self._send(text))

    def _ignore(self, what: str) -> None:
        if len(self.ignored) >= MOST_KINDS and what not in self.ignored:
            what = "other"
        if not self.ignored[what]:
            log.warning("%s sent what is not understood, and it is ignored: %s", self.sender, what)
        self.ignored[what] += 1
