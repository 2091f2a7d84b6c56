"""Serving synchronous requests under ASGI without paying for it.

Django's own ASGI handler runs each middleware in a thread hop of its own, in a thread that is made for the
request: measured here that was more than half of a small POST. A request that does not wait on purpose runs
from its first middleware to its last in one thread of a small pool. The pool is also the admission: a burst
waits in line instead of fighting for two cores and a dozen database connections.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from .guards import JsonGuardMiddleware
from .requests import RequestIdMiddleware
from .views import in_database, rendered


class ThreadedHandler(ASGIHandler):
    """An ASGI application that serves Django's synchronous views, `threads` at a time, in order of arrival.

    The body is read before a thread is taken, so slow senders hold none.
    """

    def __init__(self, threads: int) -> None:
        self.load_middleware(is_async=False)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        try:
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(
                self._threads, copy_context().run, self._answer, scope, body
            )
        finally:
            body.close()
        await self.send_response(response, send)

    def _answer(self, scope: Any, body: Any) -> HttpResponseBase:
        """Serve one request. Its signals are sent in this thread, so its connection goes back from here."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        response: Any = refusal if request is None else self.get_response(request)
        response._handler_class = self.__class__
        if response.streaming:
            whole = HttpResponse(
                b"".join(response.streaming_content), status=response.status_code, headers=response.headers
            )
            whole.cookies = response.cookies
            response.close()
            return whole
        response.close()
        return response

    def resolve_request(self, request: Any) -> Any:
        """Find the view; of one that can also wait, the part that does not."""
        match = super().resolve_request(request)
        return getattr(match.func, "synchronous", match.func), match.args, match.kwargs


class WaitingHandler(ASGIHandler):
    """Serves the API's coroutines: `?wait` and event streams, which hold no connection while they wait.

    Only what is a coroutine itself stands before the view: each of Django's middlewares would hop threads, and
    so would its request signals. What they are for, giving connections back, `in_database` does.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        handler: Any = convert_exception_to_response(self._answer)
        for middleware in (JsonGuardMiddleware, RequestIdMiddleware):
            handler = convert_exception_to_response(middleware(handler))
        self._middleware_chain = handler

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        set_script_prefix(get_script_prefix(scope))
        request, refusal = self.create_request(scope, body)
        if refusal is not None:
            await self.send_response(refusal, send)
            return
        serving = asyncio.create_task(self._serve(request, send))
        leaving = asyncio.create_task(receive())  # nothing more comes than the news that the client has left
        try:
            await asyncio.wait([serving, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not serving.done():
                serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
            body.close()

    async def _answer(self, request: Any) -> HttpResponseBase:
        view, args, kwargs = self.resolve_request(request)
        if not hasattr(view, "waits") or not view.waits(request):  # it only looked like it by its address
            view = in_database(rendered(getattr(view, "synchronous", view)))
        response: HttpResponseBase = await view(request, *args, **kwargs)
        return response

    async def _serve(self, request: Any, send: Any) -> None:
        response = await self.get_response_async(request)
        await self.send_response(response, send)


class Split:
    """Sends requests that wait on purpose (`?wait`, event streams, for models) to `waiting`, others to `threaded`."""

    def __init__(self, waiting: WaitingHandler, threaded: ThreadedHandler) -> None:
        self._waiting = waiting
        self._threaded = threaded

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        waits = path.startswith(("/v1/", "/livekit/")) or (
            path.startswith("/api/")
            and (b"wait=" in scope["query_string"] or path.endswith(("/events", "/webrtc", "/join", "/try")))
        )
        await (self._waiting if waits else self._threaded)(scope, receive, send)
