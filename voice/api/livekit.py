"""LiveKit's webhook: somebody has come into a room. Either he dialled one of our numbers, and a dispatch rule made
the room for him, or it is a voice session's, and he came with its token. Our agent joins him.

A coroutine, because the answer waits until our agent has joined. Signed by LiveKit with our own secret. What
LiveKit repeats has the same effect once while a call lasts: a caller's own room, or a session, has one at a time.
"""

import asyncio
import time
from typing import Any, Final

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from networks.models import Network
from voice import joining, metrics, rooms, sessions, slots
from voice.config_parsing import ConfigInvalid, parse, to_json
from voice.joining import Slot
from voice.models import PhoneNumber, VoiceSession
from voice.selectors import participants_of
from voice.transports.extras import MissingPackage, load_all
from voice.transports.livekit_rooms import CALLER, PHONE_ROOMS, LiveKitRooms, read_webhook
from voice.transports.vendor import VendorFailed
from web.problems import Problem
from web.requests import current_request_id
from web.views import in_database

from .joining import enter_slot

log = structlog.get_logger(__name__)

_ENDING_SECONDS: Final = 4.0  # that a call may take to end
_TELEPHONE = 3  # livekit.protocol's ParticipantInfo.Kind.SIP


@csrf_exempt
@require_POST
async def livekit_event(request: HttpRequest) -> HttpResponse:
    """Something happened in a room. Only a caller who comes matters here."""
    if not settings.LIVEKIT["api_secret"]:
        return HttpResponse(status=404)
    try:
        await asyncio.to_thread(load_all, "livekit")  # the SDK takes a while, once
        authorization = request.headers.get("Authorization", "").removeprefix("Bearer ")
        event = read_webhook(rooms.livekit_keys(), request.body.decode(), authorization)
    except (VendorFailed, MissingPackage, UnicodeDecodeError) as error:
        metrics.refused("webhook")
        log.warning("a webhook is refused", why=str(error))
        return HttpResponseForbidden("The signature is missing or wrong.\n", content_type="text/plain")
    if event.event == "participant_joined":
        if event.participant.kind == _TELEPHONE and event.room.name.startswith(PHONE_ROOMS):
            await _take(event)
        elif event.participant.identity == CALLER:
            await _join(event.room.name)
    return HttpResponse(status=204)


async def _join(room: str) -> None:
    """Send an agent into a session's room, unless one is there (`join` may have been asked for before).

    Who left and comes back at once finds a call that is about to end: its slot is waited for.
    """
    give_up = time.monotonic() + _ENDING_SECONDS
    while True:
        try:
            slot = await in_database(_reserve_in)(room)
            if slot is not None:
                await enter_slot(slot, {})
            return
        except Problem as problem:
            if problem.code != "conflict":
                log.warning("a caller waits for an agent in vain", room=room, why=problem.detail)
                return
        if time.monotonic() > give_up:
            log.info("a session's caller came, and has an agent", room=room)
            return
        await asyncio.sleep(_ENDING_SECONDS / 10)


def _reserve_in(room: str) -> Slot | None:
    """A slot for the session whose room it is; None for a room of nobody's. Raises a problem, `conflict` where the
    session has a call."""
    session = VoiceSession.objects.filter(sessions.live(), provider="livekit", room__room=room).first()
    if session is None:
        return None
    if participants_of(session):  # not `reserve`, which writes down whom it refuses
        raise Problem("conflict")
    return joining.reserve(session)


async def _take(event: Any) -> None:
    """Send an agent into a caller's room; where there is none for him, hang up."""
    try:
        slot = await in_database(_reserve)(event)
        if slot is not None:
            await enter_slot(slot, {})
    except Problem as problem:
        if problem.code == "session_over":
            return  # it was told twice, and the first one is at it
        log.warning("a telephone caller is sent away", room=event.room.name, why=problem.detail)
        try:
            async with LiveKitRooms(rooms.livekit_keys()) as asking:
                await asking.delete(event.room.name)
        except VendorFailed as error:
            log.warning("a room could not be closed", room=event.room.name, error=str(error))


def _reserve(event: Any) -> Slot | None:
    """A slot for the caller; None when he has one already. Raises a problem when he cannot be taken."""
    attributes = dict(event.participant.attributes)
    dialled = attributes.get("sip.trunkPhoneNumber", "")
    number = PhoneNumber.objects.filter(number=dialled, active=True).select_related("network").first()
    if number is None:
        raise Problem("not_found", f"Nobody answers {dialled}.")
    if number.network is not None and number.network.status != Network.Status.ACTIVE:
        raise Problem(f"network_{number.network.status}")
    try:
        config = parse(number.config, provider="livekit", network_id=number.network_id or "")
    except ConfigInvalid as error:
        raise Problem("validation_failed", str(error)) from error
    incoming = slots.Incoming(
        project_id=number.project_id,
        network_id=config.network_id or None,
        transport="livekit",
        external_id=event.room.name,
        config=to_json(config),
        from_number=attributes.get("sip.phoneNumber", ""),
        to_number=dialled,
        request_id=current_request_id(),
    )
    try:
        kept = slots.reserve(incoming)
    except slots.Refused as refused:
        if refused.reason == "over":
            return None  # told before
        raise joining.refusal(refused) from refused
    return Slot("livekit", event.room.name, kept.worker, kept.address, kept.nonce)
