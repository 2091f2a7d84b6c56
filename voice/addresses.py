"""Under which addresses carriers and browsers reach us, from settings alone: headers can be forged."""

from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from voice import tokens

TWILIO_STREAM: Final = "/ws/voice/twilio/{worker}/{token}"
BROWSER_STREAM: Final = "/ws/voice/web/{token}"
ENTER: Final = "/voice/enter/{worker}/{transport}/{token}"
BROWSER_OFFER: Final = "/voice/offers/{token}"


def own_address(name: str, port: int) -> str:
    """Where this voice process is reached: `wss://host`, without a path.

    PUBLIC_VOICE_URL may hold `{worker}` and `{port}`. Without it, it is the host of PUBLIC_BASE_URL, whose
    proxy sends a stream to the process that its path names.
    """
    if settings.PUBLIC_VOICE_URL:
        address: str = settings.PUBLIC_VOICE_URL
        return address.replace("{worker}", name).replace("{port}", str(port))
    base = urlsplit(settings.PUBLIC_BASE_URL)
    return ("wss://" if base.scheme == "https" else "ws://") + base.netloc


def stream_url(address: str, worker: str, token: str) -> str:
    """The address of a carrier's stream."""
    return address + TWILIO_STREAM.format(worker=worker, token=token)


def browser_url(address: str, token: str) -> str:
    """The address of a browser's stream."""
    return address + BROWSER_STREAM.format(token=token)


def offer_url(address: str, token: str) -> str:
    """Where a browser posts its WebRTC offer."""
    return http_address(address) + BROWSER_OFFER.format(token=token)


def enter_url(address: str, worker: str, transport: str, token: str) -> str:
    """Where one of our processes tells another to take a call that has no stream: at MESH_VOICE_INNER_URL, for the
    address that the world knows may not be reached from within."""
    inner = settings.MESH_VOICE_INNER_URL.replace("{worker}", worker)
    return (inner or http_address(address)) + ENTER.format(worker=worker, transport=transport, token=token)


def http_address(address: str) -> str:
    """The same process, asked by HTTP."""
    return address.replace("ws", "http", 1)


def browser_token(session_id: str, *, expires_at: float) -> str:
    """A token that lets a browser talk to a voice session until `expires_at` (seconds since the epoch)."""
    ticket = tokens.Ticket(session_id, "", tokens.new_nonce(), int(expires_at))
    return tokens.mint(token_key(), "browser", ticket)


def call_token(call_sid: str, worker: str, nonce: str, *, now: float) -> str:
    """The token in the path of a carrier's stream."""
    ticket = tokens.Ticket(call_sid, worker, nonce, int(now) + tokens.CALL_SECONDS)
    return tokens.mint(token_key(), "call", ticket)


def token_key() -> bytes:
    """What tokens are signed by: derived, so that it is no other signature's key."""
    return _derived(settings.SECRET_KEY)


@lru_cache(2)
def _derived(secret: str) -> bytes:
    return sha256(b"mesh voice tokens\0" + secret.encode()).digest()


def webhook_url(path: str) -> str:
    """The address of one of our webhooks, as the carrier knows and signs it."""
    return f"{settings.PUBLIC_BASE_URL}{path}"
