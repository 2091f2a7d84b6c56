"""The one way we open connections to vendors: a pool wide enough for a worker, and no deadline of its own."""

import ssl
from functools import cache
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import httpx2

# Deadlines are the wrapper's (agents/resilience); this only ends what nobody watches.
TIMEOUT = httpx2.Timeout(600.0)
_LIMITS = httpx2.Limits(max_connections=512, max_keepalive_connections=256, keepalive_expiry=30.0)


def open_client() -> httpx2.AsyncClient:
    """Return a client for one provider instance, which closes it. It belongs to one event loop."""
    return httpx2.AsyncClient(limits=_LIMITS, timeout=TIMEOUT, follow_redirects=True, verify=_trust())


def split_query(url: str) -> tuple[str, dict[str, str]]:
    """Part a base URL from its query: Azure wants `?api-version=…` on every request."""
    parts = urlsplit(url)
    return urlunsplit((*parts[:3], "", "")), dict(parse_qsl(parts.query))


@cache
def _trust() -> ssl.SSLContext:
    return httpx2.create_ssl_context()  # tens of milliseconds: once a process, not once a tenant
