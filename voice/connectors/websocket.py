"""A WebSocket client for the frame path: sending never waits, and costs no task and no queue.

The protocol is the `websockets` package's, without its I/O; messages are handed over by a plain call. The
price: no proxies. Speech vendors are reached directly.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import cache
from secrets import token_bytes
from ssl import SSLContext
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpx2
import orjson
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from agents.providers.errors import Failure, ProviderError
from voice.websocket_frames import BINARY, TEXT, pack

from .refusals import refusal

OPEN_LIMIT: Final = 5.0  # seconds from the name look-up to the end of the handshake
CLOSE_LIMIT: Final = 0.3  # seconds that a peer may take to answer our good-bye
UNSENT: Final = 512 * 1024  # bytes: a peer that lets so much pile up has stopped reading
LARGEST: Final = 4 * 1024 * 1024

_silent = logging.getLogger("voice.connectors.websocket.frames")  # they hold what callers say
_silent.setLevel(logging.CRITICAL)


def address(base: str, path: str, query: Mapping[str, Any] | None = None) -> str:
    """Return the `ws` or `wss` URL below a base that may be given as http, https, ws or wss. Values of the
    query may be lists."""
    parts = urlsplit(base)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}" + (
        f"?{urlencode(query, doseq=True)}" if query else ""
    )


class WebSocket(asyncio.Protocol):
    """One connection. `on_message` hears text as `str` and binary as `bytes`; `on_lost` hears once why the
    connection ended without `close` having been called. Both are called on the loop and may not raise.
    """

    def __init__(self, url: str, headers: Mapping[str, str], service: str) -> None:
        self.service = service
        self.on_message: Callable[[str | bytes], None] = lambda message: None
        self.on_lost: Callable[[ProviderError], None] = lambda error: None
        self._headers = headers
        self._uri = parse_uri(url)
        self._frames = ClientProtocol(self._uri, max_size=LARGEST, logger=_silent)
        self._transport: asyncio.Transport | None = None
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._closing = False
        self._parts: list[bytes] = []
        self._text = False

    @classmethod
    async def connect(
        cls,
        url: str,
        headers: Mapping[str, str],
        *,
        service: str,
        on_message: Callable[[str | bytes], None],
        on_lost: Callable[[ProviderError], None],
        limit: float = OPEN_LIMIT,
    ) -> "WebSocket":
        """Open a connection within `limit` seconds. Raises `ProviderError`."""
        try:
            socket = cls(url, headers, service)
        except InvalidURI as error:
            raise ProviderError(Failure.INTERNAL, f"{service}: {error}", nothing_sent=True) from error
        socket.on_message, socket.on_lost = on_message, on_lost
        try:
            async with asyncio.timeout(limit):
                await socket._open()
        except TimeoutError as error:
            socket.abort()
            raise socket._error(Failure.DEADLINE, f"no connection within {limit:g} s") from error
        except OSError as error:
            raise socket._error(Failure.CONNECTION, f"no connection: {error}", nothing_sent=True) from error
        except BaseException:
            socket.abort()
            raise
        return socket

    @property
    def open(self) -> bool:
        """Whether messages can still be sent."""
        return not self._closing and self._frames.state is State.OPEN and not self._gone.is_set()

    def send(self, *messages: str | bytes) -> None:
        """Send text or binary. What is sent on a connection that is gone is lost, as `on_lost` has told."""
        if not self.open:
            return
        assert self._transport is not None
        if self._transport.is_closing():
            return
        # What the package does with messages, without what it needs for extensions and fragments.
        self._transport.write(b"".join([_frame(message) for message in messages]))
        if self._transport.get_write_buffer_size() > UNSENT:
            self._lose(self._error(Failure.CONNECTION, "stopped reading what is sent"))

    def send_json(self, message: Mapping[str, Any]) -> None:
        self.send(orjson.dumps(message).decode())

    def abort(self) -> None:
        """Drop the connection without a good-bye."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    async def aclose(self) -> None:
        """Say good-bye and wait a moment for the answer. Idempotent; `on_lost` is not called any more."""
        was_open, self._closing = self.open, True
        if self._transport is None:
            return
        try:
            if was_open:
                self._frames.send_close(1000)
                self._write()
                async with asyncio.timeout(CLOSE_LIMIT):
                    await self._gone.wait()
        except TimeoutError:
            pass  # the abort is for such a peer
        finally:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none by inheritance
        request = self._frames.connect()
        request.headers.update(self._headers)
        self._frames.send_request(request)
        self._write()

    def data_received(self, data: bytes) -> None:
        self._frames.receive_data(data)
        self._read()

    def eof_received(self) -> None:
        self._frames.receive_eof()
        self._read()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()
        if self._frames.state is not State.CLOSED:
            self._frames.receive_eof()
        self._read()
        self._lose(self._farewell(error))
        # Nothing more is told, and no circle is left that would wait for the collector of garbage, which does not
        # come by during calls: who listened holds us, and the protocol is held by its parser and that one's error.
        self.on_message, self.on_lost = _nobody, _nobody
        self._frames.parser.close()
        self._frames.parser_exc = None

    # The rest is between us.

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: self,
            self._uri.host,
            self._uri.port,
            ssl=_trust() if self._uri.secure else None,
        )
        await self._opened

    def _write(self) -> None:
        assert self._transport is not None
        data = self._frames.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(b"".join(data))
        if b"" in data:
            self._transport.close()  # the protocol's word for "hang up now"

    def _read(self) -> None:
        for event in self._frames.events_received():
            if isinstance(event, Response):
                self._answered()
            elif isinstance(event, Frame):
                self._frame(event)
        if self._frames.handshake_exc is not None:
            self._answered()
        if self._transport is not None and not self._gone.is_set():
            self._write()
            if self._frames.close_expected():
                self._transport.close()

    def _answered(self) -> None:
        """The handshake is over."""
        if self._opened.done():
            return
        refused = self._frames.handshake_exc
        if refused is None:
            self._opened.set_result(None)
        elif isinstance(refused, InvalidStatus):
            self._opened.set_exception(self._refused(refused.response))
        elif isinstance(refused, InvalidHandshake):
            self._opened.set_exception(self._error(Failure.MALFORMED, f"no WebSocket: {refused}"))
        else:
            self._opened.set_exception(self._error(Failure.CONNECTION, f"cut in the handshake: {refused}"))

    def _refused(self, response: Response) -> ProviderError:
        if response.status_code < 400:
            return self._error(Failure.MALFORMED, f"answered {response.status_code} instead of a WebSocket")
        headers = {key.lower(): value for key, value in response.headers.raw_items()}
        secrets = [value.rpartition(" ")[2] for value in self._headers.values()]
        return refusal(self.service, response.status_code, headers, bytes(response.body or b""), secrets)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._parts, self._text = [bytes(frame.data)], frame.opcode is Opcode.TEXT
        elif frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
        else:
            return  # pings are answered by the protocol
        if frame.fin and not self._closing:
            whole = b"".join(self._parts)
            self.on_message(whole.decode(errors="replace") if self._text else whole)

    def _lose(self, error: ProviderError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # somebody who gave up may have stopped waiting
        if self._closing:
            return
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
        self.on_lost(error)

    def _farewell(self, error: Exception | None) -> ProviderError:
        code, reason = self._frames.close_code, self._frames.close_reason
        if error is not None or code in (None, 1006):
            return self._error(Failure.CUT_STREAM, f"the connection broke: {error or 'no good-bye'}")
        lost = self._error(Failure.CUT_STREAM, f"closed the connection, {code} {reason}".rstrip())
        lost.status = code
        return lost

    def _error(self, category: Failure, message: str, *, nothing_sent: bool = False) -> ProviderError:
        return ProviderError(
            category, f"{self.service}: {message}", provider=self.service, nothing_sent=nothing_sent
        )


def _frame(message: str | bytes) -> bytes:
    mask = token_bytes(4)
    return pack(TEXT, message.encode(), mask) if isinstance(message, str) else pack(BINARY, message, mask)


def _nobody(_: object) -> None: ...


@cache
def _trust() -> SSLContext:
    return httpx2.create_ssl_context()  # tens of milliseconds: once a process
