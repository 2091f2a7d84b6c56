"""Calls that begin without a stream to us: a browser's offer is answered, or a vendor's room is joined.

Runs on the voice process's event loop, after the call has been let in.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from django.conf import settings

from voice import rooms, sessions, slots, tokens
from voice.config_parsing import ConfigInvalid
from voice.models import VoiceSession
from voice.pipeline.ports import LineControl
from voice.runtime import RunningCall, VoiceRuntime
from voice.transports.daily import DailyLine, DailyTransport
from voice.transports.daily_rooms import DailyRooms
from voice.transports.extras import MissingPackage, load_all
from voice.transports.livekit import LiveKitLine, LiveKitTransport
from voice.transports.paced import PacedTransport
from voice.transports.vendor import VendorFailed
from voice.transports.webrtc import BadOffer, IceServer, WebRtcTransport
from voice.watching import WatchedLog
from web.problems import Invalid, NotAvailable, Problem

log = structlog.get_logger(__name__)

_OFFER_SECONDS: Final = 15.0  # from our answer to the page's first packet
_ROOM_SECONDS: Final = 60.0  # that our agent waits in a room for its caller
_AGENT_SECONDS: Final = 6 * 3600

_REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "full": ("lines_busy", ""),
    "project_limit": ("lines_busy", "The project has as many calls as it may have."),
    "session_busy": ("conflict", "The session has a call already."),
    "over": ("session_over", ""),
}


def refusal(refused: slots.Refused) -> Problem:
    """Why a caller is not let in, as a problem."""
    return Problem(*_REFUSALS[refused.reason])


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot on one voice process for a call that comes by no stream."""

    transport: str
    external_id: str
    worker: str
    address: str
    nonce: str


def reserve(session: VoiceSession) -> Slot:
    """Keep a slot for a session's caller on any voice process. Raises a problem when there is none."""
    external_id = tokens.new_nonce()
    try:
        kept = slots.reserve(_incoming(session, external_id))
    except slots.Refused as refused:
        raise refusal(refused) from refused
    return Slot(session.provider, external_id, kept.worker, kept.address, kept.nonce)


def let_in(session_id: str, worker: str) -> slots.CallRecord:
    """Take a slot for a caller who holds a session's token, on this process and now. Raises a problem."""
    session = VoiceSession.objects.filter(sessions.live(), pk=session_id).first()
    if session is None:
        raise Problem("session_over")
    external_id = tokens.new_nonce()
    try:
        reserved = slots.reserve(_incoming(session, external_id), worker=worker)
    except slots.Refused as refused:
        raise refusal(refused) from refused
    return open_reserved(session.provider, external_id, worker, reserved.nonce)


def open_reserved(transport: str, external_id: str, worker: str, nonce: str) -> slots.CallRecord:
    """Take a slot that was reserved here. Raises a problem when it is not, or was taken."""
    record = slots.open_stream(transport=transport, external_id=external_id, worker=worker, nonce=nonce)
    if record is None:
        raise Problem("session_over", "The slot was given up, or was taken before.")
    return record


async def enter(runtime: VoiceRuntime, record: slots.CallRecord, offer: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a call that has been let in; it goes on by itself. Returns what the caller's side is to be told.

    Raises a problem; the slot is free again then.
    """
    transport: PacedTransport | None = None
    try:
        transport, answer, line = await _connect(runtime, record, offer)
        call = await runtime.build(
            record, transport, line=line, watch=partial(WatchedLog, show=transport.show)
        )
    except BaseException as error:
        runtime.free(record.id, "failed", f"{type(error).__name__}: {error}")
        if transport is not None:
            await transport.aclose()
        raise _problem(error) from error
    transport.attach(call, on_network=getattr(call, "network", None))  # type: ignore[arg-type]
    transport.show("ready", call_id=record.id)
    runtime.spawn(_have(runtime, record, transport, call), "voice-joined")
    return answer | {"call_id": record.id}


async def _connect(
    runtime: VoiceRuntime, record: slots.CallRecord, offer: Mapping[str, Any]
) -> tuple[PacedTransport, dict[str, Any], LineControl | None]:
    await asyncio.to_thread(load_all, record.transport)
    if record.transport == "webrtc":
        browser = WebRtcTransport([IceServer(**each) for each in settings.WEBRTC_ICE_SERVERS])
        return browser, dict(await browser.answer(offer.get("sdp", ""), offer.get("type", ""))), None
    room = await runtime.in_thread(_room_of, record)
    if record.transport == "livekit":
        keys, livekit = rooms.livekit_keys(), LiveKitTransport()
        await livekit.join(keys, room["room"])
        return livekit, {"room": room["room"]}, LiveKitLine(keys, room["room"], livekit)
    daily = DailyTransport()
    async with DailyRooms(rooms.daily_keys()) as asking:
        mine = await asking.token(room["room"], seconds=_AGENT_SECONDS, name="Agent", owner=True)
    await daily.join(room["room_url"], mine)
    return daily, {"room": room["room"]}, DailyLine(rooms.daily_keys(), room["room"], daily)


async def _have(
    runtime: VoiceRuntime, record: slots.CallRecord, transport: PacedTransport, call: RunningCall
) -> None:
    """Have the call when its caller's audio comes, or end it."""
    try:
        seconds = _OFFER_SECONDS if record.transport == "webrtc" else _ROOM_SECONDS
        if not await transport.connected(seconds):
            call.end("transport_lost")
        await runtime.run(record.id, call)
    finally:
        call.end("cancelled")
        await transport.aclose()
        if record.session_id and record.transport in ("livekit", "daily"):
            await runtime.in_thread(rooms.close_left, record.session_id)


def _incoming(session: VoiceSession, external_id: str) -> slots.Incoming:
    return slots.Incoming(
        project_id=session.project_id,
        network_id=session.network_id,
        transport=session.provider,
        external_id=external_id,
        session_id=session.pk,
        config=session.config,
        alone=True,
    )


def _room_of(record: slots.CallRecord) -> dict[str, str]:
    """The session's room; a telephone caller's, whom LiveKit sent, is the call's own id."""
    if not record.session_id:
        return {"room": record.external_id}
    return dict(VoiceSession.objects.values_list("room", flat=True).get(pk=record.session_id))


def _problem(error: BaseException) -> BaseException:
    match error:
        case BadOffer():
            return Invalid("/sdp", str(error))
        case MissingPackage():
            return NotAvailable("/connectors/transport/primary", str(error))
        case VendorFailed():
            return Problem("vendor_failed", str(error))
        case ConfigInvalid():
            return Problem("validation_failed", str(error))
    return error
