"""How many synchronous requests run at once: the rest wait in line instead of fighting for connections.

Each synchronous view gets a thread of its own under ASGI. Without a bound a burst starts them all; they
share two cores and a dozen database connections, and the last of them fail with 503.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


LARGEST_HELD = 2 * 1024 * 1024  # bytes of a body; what is larger is refused further in


class Admission:
    """ASGI middleware: lets `slots` requests in at a time, in order of arrival.

    A request's body is read before it gets its slot, so that slow senders hold none. Requests that wait on
    purpose (`?wait`, event streams) are coroutines and pass freely.
    """

    def __init__(self, application: Application, slots: int) -> None:
        self._application = application
        self._slots = asyncio.Semaphore(slots)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _waits(scope):
            await self._application(scope, receive, send)
            return
        read = await _read_body(receive)
        async with self._slots:
            await self._application(scope, read, send)


async def _read_body(receive: Receive) -> Receive:
    """Read the body's messages and return a `receive` that gives them again, then what comes after."""
    held: deque[MutableMapping[str, Any]] = deque()
    size, more = 0, True
    while more and size <= LARGEST_HELD:
        message = await receive()
        held.append(message)
        size += len(message.get("body", b""))
        more = message.get("more_body", False)

    async def again() -> MutableMapping[str, Any]:
        return held.popleft() if held else await receive()

    return again


def _waits(scope: Scope) -> bool:
    return b"wait=" in scope["query_string"] or scope["path"].endswith("/events")
