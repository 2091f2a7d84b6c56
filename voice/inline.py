"""Taking calls in the web process: the runtime is started by the first request that has to do with calls."""

import asyncio
import signal
from contextlib import suppress
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn
from django.conf import settings

from voice import doors, runtime, standalone

log = structlog.get_logger(__name__)

_NEEDS_IT: Final = (
    "/twilio",
    "/livekit/",
    "/api/voice/calls",
    doors.PREFIX,
)  # nobody can be let in before it is there
_ENTERS: Final = ("/webrtc", "/join")
_WILL_NEED_IT: Final = ("/talk", "/api/voice/sessions", "/sessions/with-config")


class StartsVoice:
    """An ASGI application before the site: with MESH_VOICE=inline it starts the runtime, and nothing otherwise."""

    def __init__(self, site: Any) -> None:
        self._site = site
        self._warming: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if runtime.current() is None and settings.MESH_VOICE == "inline":
            path = scope["path"]
            if scope["method"] == "POST" and (path.startswith(_NEEDS_IT) or path.endswith(_ENTERS)):
                await start()
            elif path.startswith(_WILL_NEED_IT) and (self._warming is None or self._warming.done()):
                self._warming = asyncio.ensure_future(start())
        if settings.MESH_VOICE == "inline" and scope["path"].startswith(doors.PREFIX):
            await doors.serve(runtime.current(), scope, receive, send)
            return
        await self._site(scope, receive, send)


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """The server's own messages: when it ends, calls in progress are ended and written down."""
    if settings.MESH_VOICE == "inline":
        _hold_back_the_end()
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            try:
                await runtime.forget()
                await standalone.forget()
            except Exception as error:
                log.exception("voice did not end well", error=str(error)[:300])
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "lifespan.startup.complete"})


async def start() -> None:
    """Start the runtime of this process. Without it callers hear that all lines are busy."""
    try:
        await runtime.obtain()
    except Exception as error:
        log.exception("voice could not be started", error=str(error)[:300])


def _hold_back_the_end() -> None:
    """Let calls in progress end before the server hears of SIGTERM or SIGINT: it closes every stream at once.

    Only uvicorn's own handlers are put off, and they come at once when a signal comes twice.
    """
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    draining: list[asyncio.Task[None]] = []

    async def drain(number: int, server: uvicorn.Server) -> None:
        try:
            await _drain()
        finally:
            server.handle_exit(number, None)

    for number, handler in handlers.items():
        server = getattr(handler, "__self__", None)
        if not isinstance(server, uvicorn.Server):
            continue

        def asked(number: int, frame: FrameType | None, server: uvicorn.Server = server) -> None:
            if draining:
                server.handle_exit(number, frame)
            else:
                loop.call_soon_threadsafe(begin, number, server)

        def begin(number: int, server: uvicorn.Server) -> None:
            draining.append(loop.create_task(drain(number, server), name="voice-hold"))

        signal.signal(number, asked)


async def _drain() -> None:
    found = runtime.current()
    if found is None:
        return
    log.info("voice drains", worker=found.name, calls=len(found.calls))
    found.drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.VOICE_HOLD_SECONDS):
            await found.drained()
    log.info("voice drained", worker=found.name, calls_left=len(found.calls))
    await runtime.forget()  # ends the calls that are left, while they can still be told
