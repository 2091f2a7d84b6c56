"""API keys as strings: minted with a checksum, recognised, hashed. Pure.

A key of ours reads `mesh_` + 32 random characters + 6 of checksum, so a mistyped one is refused without
asking the database. Any other string of 24 or more visible characters may be imported as a key.
"""

import hashlib
import re
import secrets
import zlib

PREFIX = "mesh_"
MIN_IMPORTED = 24
MAX_LENGTH = 200
SHOWN = 12  # characters kept readable, to recognise a key by

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM, _CHECK = 32, 6
_OURS = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECK}}}")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


def mint() -> str:
    """Return a new key with 190 bits of randomness."""
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return body + _checksum(body)


def is_acceptable(secret: str) -> bool:
    """Whether a string can be a key at all."""
    if not MIN_IMPORTED <= len(secret) <= MAX_LENGTH or not _VISIBLE.fullmatch(secret):
        return False
    if _OURS.fullmatch(secret):
        return _checksum(secret[:-_CHECK]) == secret[-_CHECK:]
    return True


def digest(secret: str) -> str:
    """The SHA-256 under which a key is kept. The keys are random, so no salt or slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def shown_part(secret: str) -> str:
    """The beginning of a key, which says nothing about the rest."""
    return secret[:SHOWN] if _OURS.fullmatch(secret) else secret[:4]


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECK):
        number, place = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[place] + digits
    return digits
