"""Rooms at LiveKit and Daily: made with a voice session, closed with it, and the way into them for a caller."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import structlog
from django.conf import settings

from voice.models import VoiceSession
from voice.sessions import live, remaining_seconds
from voice.tokens import new_nonce
from voice.transports.daily_rooms import DailyKeys, DailyRooms
from voice.transports.extras import MissingPackage
from voice.transports.livekit_rooms import CALLER, LiveKitKeys, LiveKitRooms, token
from voice.transports.vendor import VendorFailed
from web.problems import NotAvailable, Problem

T = TypeVar("T")
log = structlog.get_logger(__name__)

_EMPTY_SECONDS: Final = 300  # that LiveKit keeps a room nobody is in


def livekit_keys() -> LiveKitKeys:
    given = settings.LIVEKIT
    return LiveKitKeys(given["url"], given["api_key"], given["api_secret"])


def daily_keys() -> DailyKeys:
    return DailyKeys(settings.DAILY["api_key"], settings.DAILY["base_url"])


def open_room(provider: str, *, seconds: int) -> dict[str, str]:
    """Make a room at the vendor for a session of this life; nothing for transports without rooms.

    Blocks for the vendor's answer. Raises a problem when it refuses or its package is missing.
    """
    if provider not in ("livekit", "daily"):
        return {}
    return _asked(_open(provider, f"mesh-{new_nonce()}", seconds))


def keep_room(session: VoiceSession, *, seconds: int) -> None:
    """Let a session's room be entered for so long from now. Raises a problem like `open_room`."""
    if session.provider == "daily":  # LiveKit's rooms know no end: its tokens do
        _asked(_keep(session.room["room"], seconds))


def close_room(session: VoiceSession) -> None:
    """Close the room of a session that nobody is in. The vendor closes it anyway in a while, so that a failure
    is only logged."""
    if not session.room:
        return
    try:
        asyncio.run(_close(session.provider, session.room["room"]))
    except (VendorFailed, MissingPackage) as error:
        log.warning("a room could not be closed", room=session.room["room"], error=str(error))


def way_in(session: VoiceSession) -> dict[str, Any]:
    """What a caller's page needs to enter a session's room: its address, its name, and a token for it."""
    return dict(session.room) | {"token": _asked(_token(session))}


def close_left(session_id: str) -> None:
    """Close the room of a session that is over, for its last call has ended. Blocks for the vendor's answer."""
    session = VoiceSession.objects.filter(pk=session_id).exclude(live()).first()
    if session is not None:
        close_room(session)


async def _open(provider: str, name: str, seconds: int) -> dict[str, str]:
    if provider == "livekit":
        keys = livekit_keys()
        async with LiveKitRooms(keys) as rooms:
            await rooms.create(name, empty_seconds=min(seconds, _EMPTY_SECONDS))
        return {"room_url": keys.url, "room": name}
    async with DailyRooms(daily_keys()) as daily:
        room = await daily.create(name, seconds=seconds)
    return {"room_url": room.url, "room": room.name}


async def _keep(name: str, seconds: int) -> None:
    async with DailyRooms(daily_keys()) as daily:
        await daily.keep(name, seconds=seconds)


async def _close(provider: str, name: str) -> None:
    if provider == "livekit":
        async with LiveKitRooms(livekit_keys()) as rooms:
            await rooms.delete(name)
    else:
        async with DailyRooms(daily_keys()) as daily:
            await daily.delete(name)


async def _token(session: VoiceSession) -> str:
    seconds, room = max(1, remaining_seconds(session)), session.room["room"]
    if session.provider == "livekit":
        return token(livekit_keys(), room=room, identity=CALLER, seconds=seconds)
    async with DailyRooms(daily_keys()) as daily:
        return await daily.token(room, seconds=seconds, name="Caller")


def _asked(asking: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(asking)
    except VendorFailed as error:
        raise Problem("vendor_failed", str(error)) from error
    except MissingPackage as error:
        raise NotAvailable("/connectors/transport/primary", str(error)) from error
