"""Keys of the providers: the project's own, else the installation's. Satisfies `agents.resilience.ports`.

`get` is called on an event loop and never asks the database: it reads a copy that a thread renews.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Mapping

from django.conf import settings
from django.db import Error, connections

from agents.resilience.ports import Credential

from .crypto import CannotDecrypt, decrypt, encrypt
from .models import ProviderCredential

logger = logging.getLogger(__name__)

FRESH_FOR = 5.0
_Table = Mapping[tuple[str, str], Credential]


class StoredCredentials:
    """All credentials there are, at most a few seconds old."""

    def __init__(self, fresh_for: float = FRESH_FOR) -> None:
        self._fresh_for = fresh_for
        self._own: _Table | None = None
        self._due = 0.0
        self._renewing = threading.Lock()

    def get(self, project_id: str, provider: str) -> Credential | None:
        """The project's own key, else the installation's, else None. The very first call waits for a load."""
        if time.monotonic() >= self._due:
            self._renew_beside(wait=self._own is None)
        own = self._own.get((project_id, provider)) if self._own else None
        return own or installation_credential(provider)

    def providers(self) -> set[str]:
        """Those that somebody has a key for: the installation, or a project as of the last refresh."""
        own = {provider for _, provider in self._own or ()}
        return own | {provider for provider in settings.PROVIDERS if installation_credential(provider)}

    def refresh(self) -> None:
        """Read the table now, on this thread."""
        self._own = _load()
        self._due = time.monotonic() + self._fresh_for

    def _renew_beside(self, *, wait: bool) -> None:
        if not self._renewing.acquire(blocking=wait):
            return  # somebody is at it; what we have is good enough
        self._due = time.monotonic() + self._fresh_for
        thread = threading.Thread(target=self._renew, name="credentials", daemon=True)
        thread.start()
        if wait:
            thread.join(timeout=5)

    def _renew(self) -> None:
        try:
            self.refresh()
        except Error as error:
            logger.warning("provider credentials could not be read, using those known: %s", error)
        finally:
            self._renewing.release()
            connections.close_all()


credentials = StoredCredentials()


def installation_credential(provider: str) -> Credential | None:
    """The key of the environment; a compatible server needs only an address."""
    given = settings.PROVIDERS.get(provider, {})
    api_key, base_url = given.get("api_key", ""), given.get("base_url", "")
    if not api_key and not (provider == "openai_compatible" and base_url):
        return None
    return Credential(api_key, base_url, fingerprint(api_key), given.get("model", ""))


def set_credential(*, project_id: str, provider: str, api_key: str, base_url: str = "") -> ProviderCredential:
    """Store a project's own key for a provider, encrypted; it replaces the one before."""
    stored, _ = ProviderCredential.objects.update_or_create(
        project_id=project_id,
        provider=provider,
        defaults={"encrypted_key": encrypt(api_key), "base_url": base_url},
    )
    return stored


def fingerprint(api_key: str) -> str:
    """Tells keys apart without telling the key."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:12]


def _load() -> _Table:
    table = {}
    for row in ProviderCredential.objects.all():
        try:
            api_key = decrypt(row.encrypted_key)
        except CannotDecrypt as error:
            logger.error("the %s key of project %s cannot be used: %s", row.provider, row.project_id, error)
            continue
        base_url = row.base_url or settings.PROVIDERS.get(row.provider, {}).get("base_url", "")
        table[row.project_id, row.provider] = Credential(api_key, base_url, fingerprint(api_key))
    return table
