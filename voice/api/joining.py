"""Bringing a caller and an agent together where no stream comes to us: an offer, or a room to be joined.

Both hold a connection until media is negotiated, so they are coroutines. Any process may be asked; the one that
has the slot does it.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import httpx2
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import require_key
from networks.models import ApiKey, Scope
from voice import addresses, joining, runtime
from voice.joining import Slot
from voice.models import VoiceSession
from voice.selectors import access_session_for
from web import ratelimit
from web.idempotency import idempotent_coroutine, once
from web.openapi import document
from web.problem_codes import CODES
from web.problems import Conflict, Problem
from web.serializers import Body
from web.views import MeshView, in_database

from .serializers import JoinAnswer, JoinBody, OfferAnswer, OfferBody

_SECONDS: Final = 20.0


class OfferView(MeshView):
    tags = ["Voice sessions"]
    required_scope = Scope.VOICE

    @document(
        answer=OfferAnswer,
        body=OfferBody,
        conflict=True,
        also={410, 502, 503},
        summary="Answer a WebRTC offer: the caller of the session comes in by it",
    )
    @idempotent_coroutine
    def post(self, request: Request, session_id: str) -> Response:
        raise NotImplementedError  # the coroutine that voice/api/urls.py puts in front answers


class JoinView(MeshView):
    tags = ["Voice sessions"]
    required_scope = Scope.VOICE

    @document(
        answer=JoinAnswer,
        body=JoinBody,
        conflict=True,
        also={410, 502, 503},
        summary="Have the agent join the session's room and wait a minute for its caller",
    )
    @idempotent_coroutine
    def post(self, request: Request, session_id: str) -> Response:
        raise NotImplementedError  # as above


async def answer_offer(request: HttpRequest, *, session_id: str) -> HttpResponseBase:
    """Answer an offer. Raises a problem."""
    return await _bring(request, session_id, OfferBody, "webrtc")


async def join_room(request: HttpRequest, *, session_id: str) -> HttpResponseBase:
    """Send the agent into the session's room. Raises a problem."""
    return await _bring(request, session_id, JoinBody, "livekit", "daily")


async def _bring(
    request: HttpRequest, session_id: str, serializer: type[Body], *providers: str
) -> HttpResponseBase:
    key, session, offer = await in_database(_read)(request, session_id, serializer)

    async def work() -> HttpResponse:
        slot = await in_database(reserve_slot)(session, providers)
        return JsonResponse(await enter_slot(slot, offer))

    return await once(request, key.pk, work)


def _read(
    request: HttpRequest, session_id: str, serializer: type[Body]
) -> tuple[ApiKey, VoiceSession, dict[str, Any]]:
    """Who asks, for which session, and with what."""
    key = require_key(request, Scope.VOICE)
    ratelimit.spend(request)
    session = access_session_for(key, session_id)
    checked = serializer(data=request.guarded_json)  # type: ignore[attr-defined]
    checked.is_valid(raise_exception=True)
    return key, session, dict(checked.validated_data)


def reserve_slot(session: VoiceSession, providers: Sequence[str]) -> Slot:
    """Keep a slot for the session's caller. Raises a problem, also when its transport is another one."""
    if session.provider not in providers:
        raise Conflict(
            "conflict", f"The session is on `{session.provider}`, not on {' or '.join(providers)}."
        )
    return joining.reserve(session)


async def enter_slot(slot: Slot, offer: dict[str, Any]) -> dict[str, Any]:
    """Begin the call where its slot is: in this process, or behind the door of another one."""
    here = runtime.current()
    if here is not None and here.name == slot.worker:
        record = await here.in_thread(
            joining.open_reserved, slot.transport, slot.external_id, slot.worker, slot.nonce
        )
        return await joining.enter(here, record, offer)
    token = addresses.call_token(slot.external_id, slot.worker, slot.nonce, now=time.time())
    try:
        async with httpx2.AsyncClient(timeout=_SECONDS) as client:
            url = addresses.enter_url(slot.address, slot.worker, slot.transport, token)
            answer = await client.post(url, json=offer)
            content = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise Problem(
            "lines_busy", f"The voice process cannot be reached: {type(error).__name__}."
        ) from error
    if answer.status_code != 200:
        code = content.get("code", "")
        raise Problem(code if code in CODES else "lines_busy", str(content.get("detail", "")))
    return dict(content)
