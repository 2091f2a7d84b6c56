"""Server-sent events: the frames and the response. What is sent is the caller's business."""

import json
from collections.abc import AsyncIterator
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse

HEARTBEAT_EVERY = 15.0
HEARTBEAT = ": heartbeat\n\n"
# Sent first: the headers leave at once, and a lost client comes back after two seconds.
OPENING = "retry: 2000\n\n"


def frame(data: Any, *, event: str = "", event_id: str = "") -> str:
    """One event; its data is one line of JSON."""
    lines = [f"id: {event_id}"] if event_id else []
    if event:
        lines.append(f"event: {event}")
    lines.append("data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str))
    return "\n".join(lines) + "\n\n"


def wants_events(request: HttpRequest) -> bool:
    """Whether the caller asked for a stream and not for a page of JSON."""
    return request.method == "GET" and "text/event-stream" in request.headers.get("Accept", "")


def event_stream(frames: AsyncIterator[str]) -> StreamingHttpResponse:
    """Stream frames; proxies are told not to hold them back."""
    return StreamingHttpResponse(
        frames,
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
    )
