"""Request ids: taken from the caller or made, carried in a context variable, given back in the answer."""

import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .ids import new_id

HEADER = "X-Request-Id"
_VALID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The id of the request being served, or an empty string outside of one."""
    return _current.get()


class RequestIdMiddleware:
    """Gives every request an id. One that is too long or strange is replaced, not refused."""

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
        token = _current.set(_id_of(request))
        try:
            return _stamped(self.get_response(request))
        finally:
            _current.reset(token)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        token = _current.set(_id_of(request))
        try:
            return _stamped(await self.get_response(request))
        finally:
            _current.reset(token)


def _id_of(request: HttpRequest) -> str:
    given = request.headers.get(HEADER, "")
    return given if _VALID.fullmatch(given) else new_id("req")


def _stamped(response: HttpResponseBase) -> HttpResponseBase:
    response.headers[HEADER] = _current.get()
    return response
