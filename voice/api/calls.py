"""Phone calls: placed, listed, read with what was said, how fast and how well, and their events."""

from datetime import datetime
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from networks.models import Scope
from voice import selectors, services
from web.idempotency import idempotent_beyond
from web.openapi import document
from web.pagination import headers, paginate
from web.problems import Invalid
from web.requests import current_request_id
from web.views import MeshView, created, read_body

from . import shapes
from .call_serializers import (
    CallAnswer,
    CallBody,
    CallDetailAnswer,
    CallEventAnswer,
    CallEventQuery,
    CallQuery,
)


class CallMesh(MeshView):
    """What the views of calls share."""

    tags = ["Phone calls"]
    required_scope = Scope.VOICE


class CallsView(CallMesh):
    @document(answer=CallAnswer(many=True), query=CallQuery, summary="List phone calls")
    def get(self, request: Request) -> Response:
        params = CallQuery.read(request._request.GET)
        names = ("network_id", "session_id", "state", "direction")
        filters: dict[str, Any] = {name: params[name] for name in names if name in params}
        window: dict[str, datetime] = {
            lookup: params[name]
            for name, lookup in (("from", "created_at__gte"), ("to", "created_at__lt"))
            if name in params
        }
        return paginate(
            selectors.calls_for(caller(request)).filter(**filters, **window),
            request=request._request,
            params=params,
            shape=lambda rows: [shapes.shape_call(row) for row in rows],
        )

    @document(
        answer=CallAnswer,
        status=201,
        body=CallBody,
        conflict=True,
        summary="Call somebody; a network's agent or a session's config talks to them",
        also={410, 502, 503},
    )
    @idempotent_beyond
    def post(self, request: Request) -> Response:
        values = read_body(CallBody, request)
        call = services.place_call(key=caller(request), request_id=current_request_id(), **values)
        return created(shapes.shape_call(call), f"/api/voice/calls/{call.pk}")


class CallView(CallMesh):
    @document(answer=CallDetailAnswer, summary="Get a call: turns, transcript, latencies, quality and cost")
    def get(self, request: Request, call_id: str) -> Response:
        call = selectors.access_call_for(caller(request), call_id)
        return Response(shapes.shape_call_detail(call, selectors.turns_of(call)))


class CallEventsView(CallMesh):
    @document(
        answer=CallEventAnswer(many=True),
        query=CallEventQuery,
        summary="A page of a call's events, or with `Accept: text/event-stream` the stream of them",
        extra={(200, "text/event-stream"): {"type": "string"}},
    )
    def get(self, request: Request, call_id: str) -> Response:
        params = CallEventQuery.read(request._request.GET)
        call = selectors.access_call_for(caller(request), call_id)
        seq = position(call.pk, params.get("after"))
        limit = params["limit"]
        events = selectors.call_events_after(call.pk, seq, limit + 1)
        more, events = len(events) > limit, events[:limit]
        links = {"after": f"{call.pk}:{events[-1].seq}", "limit": str(limit)} if more else None
        answer = [shapes.call_event_data(event) for event in events]
        return Response(answer, headers=headers(request._request, call.event_seq, links))


def position(call_id: str, after: str | None) -> int:
    """The number of the event to read after. Raises `Invalid` for a mark that is none of this call's."""
    if after is None:
        return 0
    mark, _, seq = after.rpartition(":")
    if mark not in ("", call_id) or not (seq.isascii() and seq.isdigit()) or len(seq) > 9:
        raise Invalid("/query/after", "Not an event of this call.")
    return int(seq)
