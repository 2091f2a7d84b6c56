"""A client's end of a WebSocket, as thin as it can be: a hundred callers on one core leave no time for more."""

import asyncio
import base64
import os
import ssl
import time
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlsplit

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_NO_MASK = bytes(4)  # a mask of zeros is a mask: the server undoes it like any other


class Refused(Exception):
    """The server did not switch protocols. `status` is its HTTP answer, 0 where there was none."""

    def __init__(self, status: int, why: str = "") -> None:
        super().__init__(f"HTTP {status} {why}")
        self.status = status


class WebSocket(asyncio.Protocol):
    """`on_text(data, at)` and `on_close(code)` are called as frames arrive; `at` is `time.monotonic()`."""

    def __init__(self, on_text: Callable[[bytes, float], None], on_close: Callable[[int], None]) -> None:
        self._on_text, self._on_close = on_text, on_close
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._request = b""
        self._open = False
        self._code = 1006  # until the other side says another
        self.closed = asyncio.Event()

    async def connect(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        via: str = "",
        context: ssl.SSLContext | None = None,
        timeout: float = 10,
    ) -> None:
        """Open the socket. `via` is `host:port` to connect to instead of the URL's. Raises `Refused`."""
        parts = urlsplit(url)
        secure = parts.scheme == "wss" and not via
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
        if via:
            host, _, number = via.partition(":")
            port = int(number or 80)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = {
            "Host": parts.netloc,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            "User-Agent": "Twilio.TmeWs/1.0",
            **headers,
        }
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._request = head.encode() + b"\r\n"
        tls = (context or ssl.create_default_context()) if secure else None
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().create_connection(lambda: self, host, port, ssl=tls)
                await self._opened
        except (OSError, TimeoutError) as error:
            self.abort()
            raise Refused(0, repr(error)) from error

    @property
    def writable(self) -> bool:
        return self._open and self._transport is not None and not self._transport.is_closing()

    @property
    def waiting(self) -> int:
        """Bytes the other side has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def send_text(self, data: bytes) -> None:
        self._send(_TEXT, data)

    def send_binary(self, data: bytes) -> None:
        self._send(_BINARY, data)

    def close(self, code: int = 1000) -> None:
        """Begin to close; `closed` is set when the other side has."""
        if self.writable:
            self._send(_CLOSE, code.to_bytes(2))
            self._open = False

    def abort(self) -> None:
        """Cut the connection, as a lost network does."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        self._buffer += data
        if not self._open and not self._opened.done() and not self._handshake():
            return
        self._frames(at)

    def connection_lost(self, error: Exception | None) -> None:
        self._open = False
        if not self._opened.done():
            self._opened.set_exception(Refused(0, "the connection was closed"))
        if not self.closed.is_set():
            self.closed.set()
            self._on_close(self._code)

    def _handshake(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        first = bytes(self._buffer[:end]).split(b"\r\n", 1)[0].split(b" ", 2)
        status = int(first[1])
        del self._buffer[: end + 4]
        if status != 101:
            self._opened.set_exception(Refused(status))
            self.abort()
            return False
        self._open = True
        self._opened.set_result(None)
        return True

    def _frames(self, at: float) -> None:
        buffer = self._buffer
        place = 0
        while len(buffer) - place >= 2:
            head, length, start = buffer[place], buffer[place + 1] & 0x7F, place + 2
            if length == 126:
                length, start = int.from_bytes(buffer[start : start + 2]), start + 2
            elif length == 127:
                length, start = int.from_bytes(buffer[start : start + 8]), start + 8
            if len(buffer) < start + length:
                break
            payload = bytes(buffer[start : start + length])
            place = start + length
            self._frame(head, payload, at)
        del buffer[:place]

    def _frame(self, head: int, payload: bytes, at: float) -> None:
        kind = head & 0x0F
        if kind <= _BINARY:
            if not head & 0x80 or self._parts:
                self._parts.append(payload)
                if not head & 0x80:
                    return
                payload = b"".join(self._parts)
                self._parts.clear()
            self._on_text(payload, at)
        elif kind == _PING:
            self._send(_PONG, payload)
        elif kind == _CLOSE:
            self._code = int.from_bytes(payload[:2]) if payload else 1005
            if self._open:
                self._send(_CLOSE, payload[:2])
            self._open = False
            if self._transport is not None:
                self._transport.close()

    def _send(self, kind: int, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        size = len(data)
        if size < 126:
            head = bytes((0x80 | kind, 0x80 | size))
        elif size < 65536:
            head = bytes((0x80 | kind, 0xFE)) + size.to_bytes(2)
        else:
            head = bytes((0x80 | kind, 0xFF)) + size.to_bytes(8)
        self._transport.write(head + _NO_MASK + data)
