"""Static files by WhiteNoise, without a thread for requests that ask for none.

WhiteNoise's own middleware is synchronous, which under ASGI puts every request, and every waiting one, on a
thread. This one lives in the mode of what it wraps.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise that can await what it wraps, and that does not mind a folder that is not there yet."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        response: HttpResponseBase = super().__call__(request)
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(self.static_prefix):
            response = await sync_to_async(self._file, thread_sensitive=False)(request.path_info, request)
            if response is not None:
                return response
        answer: HttpResponseBase = await self.get_response(request)
        return answer

    def _file(self, path: str, request: HttpRequest) -> HttpResponse | None:
        static_file = self.find_file(path) if self.autorefresh else self.files.get(path)
        if static_file is None:
            return None
        served = static_file.get_response(request.method, request.META)
        # Read here: an open file as a body would be iterated on a thread again.
        body = served.file.read() if served.file is not None else b""
        response = HttpResponse(body, status=int(served.status))
        del response["Content-Type"]
        for name, value in served.headers:
            response[name] = value
        return response

    def add_files(self, root: str, prefix: str | None = None) -> None:
        if self.autorefresh or os.path.isdir(root):
            super().add_files(root, prefix)
