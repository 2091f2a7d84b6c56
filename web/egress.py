"""Requests to addresses that users name: tools and webhooks must not reach what is inside.

The guard stands where a socket is made, after the name was resolved and for each hop of a redirect, so it does
not matter how an address is spelt (decimal, octal, IPv6 forms of IPv4, other digits of Unicode) nor what a name
resolves to a moment later.
"""

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

MOST_REDIRECTS: Final = 5
MOST_BYTES: Final = 1024 * 1024

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Forms of IPv6 that lead to an IPv4 address: NAT64, 6to4, IPv4-compatible. Teredo's is hidden on purpose.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_REFUSED_V6: Final = tuple(
    ipaddress.IPv6Network(net)
    for net in ("64:ff9b:1::/48", "2001::/32", "fec0::/10", "100::/64", "5f00::/16")
)
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
# Sent to the first address only, for a redirect may lead to somebody else's.
_PRIVATE_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


class EgressDenied(Exception):
    """The address is one that users' requests may not reach."""


class EgressFailed(Exception):
    """The request was allowed and did not succeed. `sent`: the other side may have seen it."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What may be reached besides the public internet: networks by address, hosts by their exact name."""

    networks: tuple[_Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, allowed: Iterable[str]) -> "EgressPolicy":
        """Read `10.1.2.0/24`, `10.1.2.3`, `fd00::/8` or `crm.internal`; raises `ValueError` for a bad network."""
        networks: list[_Network] = []
        hosts: set[str] = set()
        for entry in allowed:
            try:
                networks.append(ipaddress.ip_network(entry.strip(), strict=False))
            except ValueError:
                if "/" in entry or ":" in entry:
                    raise
                hosts.add(_plain(entry))
        return cls(tuple(networks), frozenset(hosts))

    def permits(self, address: str) -> bool:
        """Whether a socket may be connected to an address."""
        found = ipaddress.ip_address(address.partition("%")[0])
        if any(found.version == net.version and found in net for net in self.networks):
            return True
        real = _within(found)
        if real is not found:
            return self.permits(str(real))
        return found.is_global and not found.is_multicast and not found.is_reserved and not _refused(found)


@dataclass(frozen=True, slots=True)
class EgressResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    redirects: int = 0


@dataclass(frozen=True, slots=True)
class EgressRequest:
    """`seconds` covers everything: name, connection, redirects, answer."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    seconds: float = 10.0
    most_bytes: int = MOST_BYTES
    redirects: int = MOST_REDIRECTS


class Egress:
    """Sends guarded requests. One a process and event loop; `aclose` at the end."""

    def __init__(self, policy: EgressPolicy, *, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver
        self._guarded: aiohttp.ClientSession | None = None
        self._open: aiohttp.ClientSession | None = None

    async def send(self, request: EgressRequest) -> EgressResponse:
        """Send a request and read the answer, of whatever status.

        Raises `EgressDenied` for an address that is not allowed, `EgressFailed` when no whole answer came.
        """
        timeout = aiohttp.ClientTimeout(total=request.seconds)
        method, url, headers, body = request.method, request.url, dict(request.headers), request.body
        for hop in range(request.redirects + 1):
            session = self._session(check_url(url))
            try:
                async with session.request(
                    method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
                ) as answer:
                    target = answer.headers.get("Location")
                    if answer.status not in (301, 302, 303, 307, 308) or not target:
                        return EgressResponse(
                            answer.status,
                            dict(answer.headers),
                            await _read(answer, request.most_bytes),
                            url,
                            hop,
                        )
                    status = answer.status
            except TimeoutError:
                raise EgressFailed(f"No answer within {request.seconds:g} s.") from None
            except aiohttp.ClientConnectorError as error:
                raise EgressFailed(
                    f"No connection: {error.os_error.strerror or error}", sent=False
                ) from error
            except (aiohttp.ClientError, OSError) as error:
                raise EgressFailed(f"The connection failed: {type(error).__name__}") from error
            following = urljoin(url, target)
            if _origin(following) != _origin(url):
                headers = {
                    name: value for name, value in headers.items() if name.lower() not in _PRIVATE_HEADERS
                }
            if status == 303 or (status in (301, 302) and method == "POST"):
                method, body = "GET", None
            url = following
        raise EgressFailed(f"More than {request.redirects} redirects.")

    async def aclose(self) -> None:
        for session in (self._guarded, self._open):
            if session is not None:
                await session.close()

    def _session(self, host: str) -> aiohttp.ClientSession:
        if host in self._policy.hosts:
            self._open = self._open or self._make(None)
            return self._open
        self._guarded = self._guarded or self._make(self._socket)
        return self._guarded

    def _make(self, factory: Any) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            socket_factory=factory,
            resolver=self._resolver,
            use_dns_cache=False,
            limit=100,
            keepalive_timeout=5,
        )
        # No proxy of the environment and no cookies: both would carry what belongs to somebody else.
        return aiohttp.ClientSession(
            connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    def _socket(self, info: Any) -> socket.socket:
        """Make the socket for one resolved address; aiohttp asks for it just before it connects."""
        family, kind, protocol, _, address = info
        if not self._policy.permits(address[0]):
            raise EgressDenied(f"{address[0]} is not an address that may be reached from here.")
        return socket.socket(family, kind, protocol)


def check_url(url: str) -> str:
    """Return the host of an address that may be asked for at all; raises `EgressDenied` for others."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise EgressDenied(f"The address cannot be read: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise EgressDenied("An address begins with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise EgressDenied("An address holds no user name and no password.")
    if not host or port == 0:
        raise EgressDenied("The address names no host.")
    return _plain(host)


def _plain(host: str) -> str:
    return host.strip().rstrip(".").lower()


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, _plain(parts.hostname or ""), parts.port


def _within(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 one leads to, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return address


def _refused(address: _Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and any(address in net for net in _REFUSED_V6)


async def _read(answer: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > most:
            raise EgressFailed(f"The answer is larger than {most} bytes.")
    return bytes(body)
