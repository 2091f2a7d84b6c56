"""Encryption of secrets at rest: Fernet, with rotation.

`MESH_ENCRYPTION_KEY` holds one key or several, separated by commas: the first encrypts, all decrypt. Without
it a key is made once and kept in `DATA_DIR/encryption_key`, so that a first start needs no thought.
"""

import os
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class CannotDecrypt(Exception):
    """The secret was encrypted by a key that is not configured any more."""


def encrypt(secret: str) -> bytes:
    """Encrypt with the newest key."""
    return _fernet(_keys()).encrypt(secret.encode())


def decrypt(token: bytes | memoryview) -> str:
    """Decrypt with whichever key fits. Raises `CannotDecrypt`."""
    try:
        return _fernet(_keys()).decrypt(bytes(token)).decode()
    except InvalidToken as error:
        raise CannotDecrypt(str(CannotDecrypt.__doc__)) from error


def rotate(token: bytes | memoryview) -> bytes:
    """Encrypt anew with the newest key."""
    return _fernet(_keys()).rotate(bytes(token))


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured("MESH_ENCRYPTION_KEY: each key is 32 bytes in URL-safe base64.") from error


def _keys() -> tuple[str, ...]:
    configured = tuple(key.strip() for key in settings.MESH_ENCRYPTION_KEY.split(",") if key.strip())
    return configured or (_key_of_this_machine(),)


@lru_cache(maxsize=1)
def _key_of_this_machine() -> str:
    path = settings.DATA_DIR / "encryption_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and linked into place: of several processes at the first start one wins, whole.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(Fernet.generate_key())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return str(path.read_text().strip())
