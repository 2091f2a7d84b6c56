"""A call's recording, whole or in parts, so that a player can seek."""

import re
from pathlib import Path
from typing import Final

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from networks.authentication import caller
from networks.models import Scope
from voice import recordings, selectors
from web.openapi import document
from web.problems import NotFound
from web.views import MeshView

LARGEST_PART: Final = 4 * 1024 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class RecordingView(MeshView):
    tags = ["Phone calls"]
    required_scope = Scope.VOICE

    @document(
        answer=OpenApiTypes.BINARY,
        status=(200, "audio/wav"),
        summary="The recording of a call that the caller agreed to: WAV, the caller left, the agent right",
        extra={(206, "audio/wav"): OpenApiTypes.BINARY, 416: None},
    )
    def get(self, request: Request, call_id: str) -> HttpResponse:
        call = selectors.access_call_for(caller(request), call_id)
        path = recordings.path_of(call)
        if path is None:
            raise NotFound("This call has no recording.")
        return serve(path, request.headers.get("Range", ""), f"{call.pk}.wav")


def serve(path: Path, wanted: str, name: str) -> HttpResponse:
    """Answer with a file, or with the part of it that a `Range` header asks for, a few megabytes at most."""
    size = path.stat().st_size
    first, last, partial = 0, size - 1, False
    if found := _RANGE.fullmatch(wanted.strip()):
        begin, end = found.groups()
        partial = bool(begin or end)
        if begin:
            first = int(begin)
            last = min(int(end) if end else last, first + LARGEST_PART - 1, size - 1)
        elif end:
            first = max(0, size - int(end))
            last = min(last, first + LARGEST_PART - 1)
    if partial and not first <= last:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    with path.open("rb") as file:
        file.seek(first)
        body = file.read(last - first + 1)
    response = HttpResponse(body, status=206 if partial else 200, content_type="audio/wav")
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "private, no-store"
    response["Content-Disposition"] = f'inline; filename="{name}"'
    if partial:
        response["Content-Range"] = f"bytes {first}-{last}/{size}"
    return response
