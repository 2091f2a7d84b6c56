"""Tokens that open a stream, and the carrier's own signatures. Pure.

A token reads `fields.mac`, both in URL-safe base64, so it fits into a path: Twilio takes no query string. It
says nothing that the carrier does not know, and only we can make one. That it is used once is the database's
affair (`voice.slots`); the nonce is what it remembers.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

CALL_SECONDS: Final = 60

Purpose = Literal["call", "browser"]
_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]{43}")
_SEPARATOR = "\n"


class TokenRefused(Exception):
    """The token is not ours, not for this, or too old; the message says which, for the log."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token says. `subject` is a CallSid or a voice session's id; `worker` is empty for browsers."""

    subject: str
    worker: str
    nonce: str
    expires_at: int  # seconds since the epoch


def new_nonce() -> str:
    return secrets.token_urlsafe(18)


def mint(key: bytes, purpose: Purpose, ticket: Ticket) -> str:
    """Make a token."""
    text = _SEPARATOR.join((ticket.subject, ticket.worker, ticket.nonce, str(ticket.expires_at)))
    if text.count(_SEPARATOR) != 3:
        raise ValueError("a field of a token holds a line break")
    return f"{_encode(text.encode())}.{_encode(_mac(key, purpose, text.encode()))}"


def read(key: bytes, purpose: Purpose, token: str, *, now: float) -> Ticket:
    """Read a token at `now`, in seconds since the epoch. Raises `TokenRefused`."""
    if not _SHAPE.fullmatch(token):
        raise TokenRefused("malformed")
    body, _, mac = token.partition(".")
    try:
        text = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        raise TokenRefused("malformed") from None
    # The strings are compared, not what they decode to: base64 has spellings of the same bytes.
    if not hmac.compare_digest(mac, _encode(_mac(key, purpose, text))) or _encode(text) != body:
        raise TokenRefused("forged")
    subject, worker, nonce, expires_at = text.decode().split(_SEPARATOR)
    if int(expires_at) <= now:
        raise TokenRefused("expired")
    return Ticket(subject, worker, nonce, int(expires_at))


def twilio_signature(auth_token: str, url: str, form: Mapping[str, Iterable[str]] | None = None) -> str:
    """What Twilio puts into X-Twilio-Signature for a request to `url` with these form fields."""
    text = url + "".join(
        name + value for name, values in sorted((form or {}).items()) for value in sorted(set(values))
    )
    return base64.b64encode(hmac.digest(auth_token.encode(), text.encode(), sha1)).decode()


def signed_by_twilio(
    auth_token: str, signature: str, url: str, form: Mapping[str, Iterable[str]] | None = None
) -> bool:
    """Whether a signature is Twilio's for our `url`, which is made from settings and never from headers.

    Twilio signs the address with its port or without; the library's own check would add `:80` to a
    `wss://` address, which never matches. No auth token: nothing is ever accepted.
    """
    if not auth_token or not signature:
        return False
    kept = {name: tuple(values) for name, values in (form or {}).items()}
    given = signature.encode()
    found = False
    for spelling in _spellings(url):
        found |= hmac.compare_digest(given, twilio_signature(auth_token, spelling, kept).encode())
    return found


def _spellings(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    if parts.port is None:
        return (url,)
    bare = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return url, urlunsplit(parts._replace(netloc=bare))


def _mac(key: bytes, purpose: Purpose, text: bytes) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + text, sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
