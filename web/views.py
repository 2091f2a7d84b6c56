"""The base of every API view, and the way a coroutine joins one."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache, partial, update_wrapper
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from . import ratelimit
from .guards import GuardedParser
from .problems import as_problem, problem_response
from .serializers import Body

T = TypeVar("T")
AsyncStep = Callable[..., Awaitable[HttpResponseBase | None]]


class AlwaysJson(BaseContentNegotiation):
    """Answers JSON whatever `Accept` says, which RFC 9110 allows and callers prefer to a 406."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class MeshView(APIView):
    """Key authentication, scopes, rate limit, strict JSON in, JSON out."""

    parser_classes = [GuardedParser]
    content_negotiation_class = AlwaysJson
    metadata_class = None
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        ratelimit.spend(request._request)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        ratelimit.add_headers(request._request, response)
        return response


def read_body(serializer: type[Body], request: Request, *, partial: bool = False) -> dict[str, Any]:
    """Validate a request's body; an absent body is an empty object."""
    checked = serializer(data=request.data, partial=partial)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def created(data: Any, location: str) -> Response:
    """201 with the address of what was made."""
    return Response(data, status=201, headers={"Location": location})


def in_database(function: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """Run a function that uses the ORM from a coroutine, and give its connection back when it returns.

    Django keeps a pooled connection until the request ends, which for a waiting one is minutes. The threads
    are few and shared: when an event wakes hundreds of waiters they queue here, not at the connection pool,
    which would turn the last of them away.
    """

    def call(*args: Any, **kwargs: Any) -> T:
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    async def start(*args: Any, **kwargs: Any) -> T:
        work = partial(copy_context().run, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(_database_threads(), work)

    return start


@cache
def _database_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.MESH_WEB_THREADS, thread_name_prefix="waiting")


def rendered(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Have a view's answer rendered in the thread that made it, not in another one later."""

    def call(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        response = view(request, **kwargs)
        return response.render() if isinstance(response, SimpleTemplateResponse) else response

    return call


def with_coroutine(
    view: type[MeshView], *, when: Callable[[HttpRequest], bool], step: AsyncStep
) -> Callable[..., Any]:
    """Serve `view`; `when` a request asks for it, only after `step` has waited, or has answered by itself.

    Django REST framework's views are synchronous; this keeps authentication, problem documents and
    OpenAPI the same for the few addresses that wait or stream.
    """
    synchronous = view.as_view()
    answer = in_database(rendered(synchronous))

    async def serve(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if not when(request):
            return await sync_to_async(synchronous)(request, **kwargs)
        try:
            response = await step(request, **kwargs)
        except Exception as error:
            problem = as_problem(error)
            if problem is None:
                raise
            response = problem_response(problem, request)
        if response is None:
            return await answer(request, **kwargs)
        ratelimit.add_headers(request, response)
        return response

    update_wrapper(serve, synchronous, updated=())
    serve.cls = view  # type: ignore[attr-defined]  # where drf-spectacular looks
    serve.initkwargs = {}  # type: ignore[attr-defined]
    serve.csrf_exempt = True  # type: ignore[attr-defined]
    serve.synchronous, serve.waits = synchronous, when  # type: ignore[attr-defined]  # for `web.threaded`
    return serve


def empty() -> HttpResponse:
    """204"""
    response = HttpResponse(status=204)
    del response["Content-Type"]
    return response
