"""Voice sessions: configs with a lifetime, read, changed while calls run, extended, ended, cleaned up."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from networks.models import Scope
from voice import entrances, rooms, selectors, services, sessions
from voice.config_parsing import to_json
from web.idempotency import idempotent, idempotent_beyond
from web.openapi import document
from web.pagination import paginate
from web.views import MeshView, created, empty, read_body

from . import shapes
from .serializers import (
    CleanupAnswer,
    CleanupBody,
    ConfigAnswer,
    ConfigBody,
    NewSessionAnswer,
    NewTtlAnswer,
    SessionAnswer,
    SessionBody,
    SessionDetailAnswer,
    SessionQuery,
    TtlAnswer,
    TtlBody,
    ValidAnswer,
)


class SessionMesh(MeshView):
    """What the views of sessions share."""

    tags = ["Voice sessions"]
    required_scope = Scope.VOICE


class NewSessionView(SessionMesh):
    @document(
        answer=NewSessionAnswer,
        status=201,
        body=SessionBody,
        also={502},
        summary="Create a session with its config; the answer says how a caller gets in",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        key = caller(request)
        wanted = services.read_session(key, request.data)
        entrances.check_configured(wanted.provider, given_by=_field_of_transport(request.data))
        assert key.project is not None  # HasScope refuses keys without one
        session = services.start_session(project=key.project, wanted=wanted)
        answer = shapes.shape_session(session) | {"transport": entrances.entrance_of(session)}
        return created(answer, f"/api/voice/sessions/{session.pk}")


class SessionsView(SessionMesh):
    @document(answer=SessionAnswer(many=True), query=SessionQuery, summary="List the sessions that are live")
    def get(self, request: Request) -> Response:
        params = SessionQuery.read(request._request.GET)
        filters = {name: params[name] for name in ("network_id", "provider") if name in params}
        return paginate(
            selectors.sessions_for(caller(request)).filter(sessions.live(), **filters),
            request=request._request,
            params=params,
            shape=lambda rows: [shapes.shape_session(row) for row in rows],
        )


class SessionView(SessionMesh):
    @document(answer=SessionDetailAnswer, also={410}, summary="Get a session, its config and who is in it")
    def get(self, request: Request, session_id: str) -> Response:
        session = selectors.access_session_for(caller(request), session_id)
        return Response(shapes.shape_session_detail(session, selectors.participants_of(session)))

    @document(status=204, summary="End a session; calls in progress go on with what they have")
    def delete(self, request: Request, session_id: str) -> HttpResponse:
        session = selectors.access_session_for(caller(request), session_id, over=True)
        sessions.end_session(session=session)
        if not selectors.participants_of(session):
            rooms.close_room(session)
        return empty()


class SessionConfigView(SessionMesh):
    @document(answer=ConfigAnswer, also={410}, summary="Get a session's config")
    def get(self, request: Request, session_id: str) -> Response:
        return Response(shapes.shape_config(selectors.access_session_for(caller(request), session_id)))

    @document(
        answer=ConfigAnswer,
        body=ConfigBody,
        also={410},
        summary="Replace a session's config; calls in progress use it from their next turn on",
    )
    def put(self, request: Request, session_id: str) -> Response:
        key = caller(request)
        session = selectors.access_session_for(key, session_id)
        config = services.read_update(key, session, request.data)
        return Response(shapes.shape_config(sessions.update_session(session=session, config=config)))


class SessionTtlView(SessionMesh):
    @document(answer=TtlAnswer, also={410}, summary="Get the life that a session has left")
    def get(self, request: Request, session_id: str) -> Response:
        return Response(shapes.shape_ttl(selectors.access_session_for(caller(request), session_id)))

    @document(
        answer=NewTtlAnswer,
        body=TtlBody,
        also={410, 502},
        summary="Set the life that a session has left from now on (nothing is added); the answer has a new way in",
    )
    @idempotent_beyond
    def post(self, request: Request, session_id: str) -> Response:
        session = selectors.access_session_for(caller(request), session_id)
        seconds = read_body(TtlBody, request)["ttl_seconds"]
        session, way_in = services.extend_session(session=session, ttl_seconds=seconds)
        return Response(shapes.shape_ttl(session) | {"transport": way_in})


class CleanupView(SessionMesh):
    @document(answer=CleanupAnswer, body=CleanupBody, summary="Remove what is left of sessions that are over")
    @idempotent
    def post(self, request: Request) -> Response:
        read_body(CleanupBody, request)
        removed = sessions.cleanup_sessions(sessions=selectors.sessions_for(caller(request)))
        return Response({"removed": removed})


class ValidateView(SessionMesh):
    @document(
        answer=ValidAnswer, body=SessionBody, summary="Check the body of a new session, and create nothing"
    )
    @idempotent
    def post(self, request: Request) -> Response:
        wanted = services.read_session(caller(request), request.data)
        answer: dict[str, Any] = {
            "valid": True,
            "provider": wanted.provider,
            "ttl_seconds": wanted.ttl_seconds,
            "config": to_json(wanted.config),
        }
        return Response(answer)


def _field_of_transport(body: Any) -> str:
    """The member of a body that chose the transport, which is the one to complain about."""
    return "/connectors/transport/primary" if "transport" in body.get("connectors", {}) else "/provider"
