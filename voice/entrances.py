"""How a caller gets into a voice session: what the answer to a new or an extended one says about its transport."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings
from django.db.models.functions import Now

from web.problems import NotAvailable

from . import addresses, rooms
from .models import VoiceSession, VoiceWorker
from .transports.web import FORMATS

_TRANSPORT_AT: Final = "/connectors/transport/primary"


def entrance_of(session: VoiceSession) -> dict[str, Any]:
    """What a client needs to bring a caller in. It opens the session's door for as long as the session lives, so it
    is told to who makes the session and to who extends it, and not to who looks at it."""
    return {"type": session.provider} | _ENTRANCES[session.provider](session)


def check_configured(provider: str, *, given_by: str = "") -> None:
    """Raise `NotAvailable`, naming the field and the settings, when a transport lacks its vendor's keys.

    A telephone number's transport is let through: its webhook says so itself, and the number may come later.
    """
    needed = _SETTINGS.get(provider)
    if needed is None:
        return
    values, names = needed
    given: Mapping[str, str] = getattr(settings, values)
    missing = [variable for member, variable in names.items() if not given[member]]
    if missing:
        raise NotAvailable(
            given_by or _TRANSPORT_AT, f"`{provider}` is not configured here: set {', '.join(missing)}."
        )


_SETTINGS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "livekit": (
        "LIVEKIT",
        {"url": "LIVEKIT_URL", "api_key": "LIVEKIT_API_KEY", "api_secret": "LIVEKIT_API_SECRET"},
    ),
    "daily": ("DAILY", {"api_key": "DAILY_API_KEY"}),
}


def _twilio(session: VoiceSession) -> dict[str, Any]:
    return {"twiml_url": addresses.webhook_url(f"/twilio/voice/{session.pk}")}


def _web(session: VoiceSession) -> dict[str, Any]:
    token = _token(session)
    return {
        "ws_url": addresses.browser_url(_address(), token),
        "token": token,
        "audio": {"encoding": "pcm16", "sample_rates": sorted(FORMATS)},
    }


def _webrtc(session: VoiceSession) -> dict[str, Any]:
    token = _token(session)
    return {"offer_url": addresses.offer_url(_address(), token), "token": token}


_ENTRANCES: Final[Mapping[str, Callable[[VoiceSession], dict[str, Any]]]] = {
    "twilio": _twilio,
    "web": _web,
    "webrtc": _webrtc,
    "livekit": rooms.way_in,
    "daily": rooms.way_in,
}


def _token(session: VoiceSession) -> str:
    return addresses.browser_token(session.pk, expires_at=session.expires_at.timestamp())


def _address() -> str:
    """A voice process that takes calls; any will do, for browsers' tokens name none."""
    living = VoiceWorker.objects.filter(lease_until__gt=Now(), draining=False).exclude(address="")
    address = living.order_by("?").values_list("address", flat=True).first()
    if address:
        return address
    inline = settings.MESH_VOICE == "inline"
    return addresses.own_address(
        settings.MESH_VOICE_NAME, settings.PORT if inline else settings.MESH_VOICE_PORT
    )
