"""The JSON guard: no body reaches a view of the API before it has been found safe to parse and to store."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import RawPostDataException, UnreadablePostError
from django.http.response import HttpResponseBase
from rest_framework.parsers import BaseParser

from .problems import FieldError, Problem, problem_response
from .strictjson import BadJson, MalformedJson, parse

MAX_BODY = 1024 * 1024
_BODILESS = {"GET", "HEAD", "OPTIONS", "TRACE"}
_OFF_LOOP = 32 * 1024  # a larger body is checked on a thread, so that it does not hold up the event loop


class JsonGuardMiddleware:
    """Refuses bodies under /api that are too large, not JSON, or JSON that would break what comes later."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        return _refusal(request) or self.get_response(request)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        if _length(request) > _OFF_LOOP:
            refusal = await sync_to_async(_refusal, thread_sensitive=False)(request)
        else:
            refusal = _refusal(request)
        return refusal or await self.get_response(request)


class GuardedParser(BaseParser):
    """Hands Django REST framework the value that the guard has parsed already."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        request = parser_context["request"]._request
        return request.guarded_json


def _refusal(request: HttpRequest) -> HttpResponseBase | None:
    if not request.path.startswith(("/api/", "/v1/", "/sessions/")):
        return None
    try:
        _check_address(request)
        if request.method not in _BODILESS:
            request.guarded_json = _checked_body(request)  # type: ignore[attr-defined]
    except Problem as problem:
        return problem_response(problem, request)
    return None


def _check_address(request: HttpRequest) -> None:
    if "\x00" in request.path:
        raise Problem("not_found")
    for name, values in request.GET.lists():
        if any("\x00" in text for text in (name, *values)):
            detail = "Holds a NUL character."
            pointer = "/query/" + name.replace("\x00", "")
            raise Problem("bad_request", detail, errors=[FieldError(pointer, "bad_character", detail)])


def _checked_body(request: HttpRequest) -> Any:
    if _length(request) > MAX_BODY:
        raise Problem("body_too_large")
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise Problem("body_too_large") from error
    except (RawPostDataException, UnreadablePostError) as error:
        raise Problem("bad_request", "The body could not be read.") from error
    if len(body) > MAX_BODY:
        raise Problem("body_too_large")
    if not body:
        return {}
    if request.content_type != "application/json":
        raise Problem("unsupported_media_type", headers={"Accept": "application/json"})
    try:
        return parse(body)
    except MalformedJson as error:
        detail = str(error)
        raise Problem("malformed_json", detail, errors=[FieldError("", "malformed_json", detail)]) from error
    except BadJson as error:
        where = FieldError(error.pointer, error.code, error.detail)
        raise Problem("bad_json", f"{error.pointer or 'The body'}: {error.detail}", errors=[where]) from error


def _length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0
