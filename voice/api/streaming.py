"""A call's events as a stream: gap-free, because they are read from the table, which is asked twice a second.

Those who watch are few (a dashboard, a page) and the question is one look at an index.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from networks.authentication import require_key
from networks.models import Scope
from voice import selectors
from voice.models import CallEvent
from web import ratelimit
from web.problems import Invalid
from web.sse import HEARTBEAT, HEARTBEAT_EVERY, OPENING, event_stream, frame
from web.views import in_database

from .call_serializers import CallEventQuery
from .calls import position
from .shapes import call_event_data

POLL: Final = 0.5  # seconds
_BATCH: Final = 200


async def stream_call_events(request: HttpRequest, *, call_id: str) -> HttpResponseBase:
    """Answer with the stream; who may not see the call is refused before it begins."""
    return event_stream(_frames(call_id, await in_database(_start)(request, call_id)))


def _start(request: HttpRequest, call_id: str) -> int:
    key = require_key(request, Scope.VOICE)
    ratelimit.spend(request)
    params = CallEventQuery.read(request.GET)
    call = selectors.access_call_for(key, call_id)
    # A browser repeats the address it was given first, so what it saw last comes before `after`.
    last_seen = request.headers.get("Last-Event-ID")
    if last_seen is None:
        return position(call.pk, params.get("after"))
    try:
        return position(call.pk, last_seen)
    except Invalid as error:
        raise Invalid("/header/Last-Event-ID", "Not an event of this call.") from error


async def _frames(call_id: str, seq: int) -> AsyncGenerator[str, None]:
    """Events after `seq` as they are written; `done` when the call has ended and all of them are told."""
    yield OPENING
    loop = asyncio.get_running_loop()
    spoken = loop.time()
    ended = False
    while True:
        events, over = await in_database(_read)(call_id, seq)
        for event in events:
            data = call_event_data(event)
            yield frame(data, event=event.type, event_id=data["id"])
            seq = event.seq
        if ended and not events:
            yield frame({"call_id": call_id}, event="done")
            return
        if events:
            spoken = loop.time()
            continue
        ended = over  # its last lines may come a moment after its end
        if loop.time() - spoken >= HEARTBEAT_EVERY:
            spoken = loop.time()
            yield HEARTBEAT
        await asyncio.sleep(POLL)


def _read(call_id: str, seq: int) -> tuple[list[CallEvent], bool]:
    # First whether it is over: what is written before the end is then certain to be read.
    over = selectors.is_over(call_id)
    return selectors.call_events_after(call_id, seq, _BATCH), over
