"""The server of a voice process: WebSockets of callers, two probes, and an end that hurts nobody."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn
from channels.routing import ProtocolTypeRouter, URLRouter

from voice import doors, runtime
from voice.call_socket import CallSocket
from voice.routing import websocket_urlpatterns
from voice.runtime import VoiceRuntime

log = structlog.get_logger(__name__)

LARGEST_MESSAGE: Final = 64 * 1024  # of a stream; Twilio's have a few hundred bytes


async def probes(scope: Any, receive: Any, send: Any) -> None:
    """/livez: the process answers. /readyz: callers may be sent here. And the doors (`voice.doors`)."""
    path = scope["path"]
    found = runtime.current()
    if path.startswith(doors.PREFIX):
        await doors.serve(found, scope, receive, send)
        return
    if path == "/livez":
        status, answer = 200, {"status": "ok"}
    elif path == "/readyz":
        ready = found is not None and found.ready
        status, answer = (
            (200 if ready else 503),
            {"status": "ready" if ready else "not_ready"} | _state(found),
        )
    else:
        status, answer = 404, {"status": "not_found"}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


application = ProtocolTypeRouter({"http": probes, "websocket": URLRouter(websocket_urlpatterns)})


class VoiceServer(uvicorn.Server):
    """Listens, then loads everything, then takes calls. SIGTERM: no new calls, and the listener stays open for
    those that have a slot, until the last call has ended or `drain_seconds` have passed.

    uvicorn by itself closes every WebSocket with 1012 at once. Asked to stop twice, this ends the calls.
    """

    def __init__(
        self, config: uvicorn.Config, *, make: Callable[[], VoiceRuntime], drain_seconds: float
    ) -> None:
        super().__init__(config)
        self._make = make
        self._drain_seconds = drain_seconds
        self._asked = False
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        await runtime.obtain(self._make)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._asked:
            self.should_exit = True
        self._asked = True

    async def on_tick(self, counter: int) -> bool:
        if self._asked and self._draining is None:
            self._draining = asyncio.ensure_future(self._drain())
        if self._draining is not None and self._draining.done():
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Any = None) -> None:
        if self._draining is not None:
            self._draining.cancel()
        await runtime.forget()
        await super().shutdown(sockets)

    async def _drain(self) -> None:
        found = runtime.current()
        if found is None:
            return
        log.info("voice drains", worker=found.name, calls=len(found.calls))
        found.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                await found.drained()
        log.info("voice drained", worker=found.name, calls_left=len(found.calls))


def make_config(*, host: str, port: int) -> uvicorn.Config:
    """The server's configuration for `application`."""
    return uvicorn.Config(
        application,
        host=host,
        port=port,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        ws=CallSocket,
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,  # audio does not compress, and every frame would pay
    )


def _state(found: VoiceRuntime | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "worker": found.name,
        "calls": len(found.calls),
        "slots": found.capacity,
        "draining": found.draining,
        "loop_lag_ms": round(found.loop_lag_ms, 1),
        "tasks": len(asyncio.all_tasks()),  # what a leak shows in first
    }
