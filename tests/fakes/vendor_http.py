"""A small HTTP/1.1 server whose handlers hold the connection itself: they can cut, drip, hang and reset it.

Web frameworks guard against all of that, and cost more CPU than the vendors' answers do.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import httptools

REASONS = {
    101: "Switching Protocols",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many Requests",
}


class Exchange:
    """One request and the way to answer it. `gone` is set when the client has left."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.method = ""
        self.path = ""
        self.query: dict[str, str] = {}
        self.pairs: list[tuple[str, str]] = []  # the query, with names that come twice
        self.headers: dict[str, str] = {}
        self.body = b""
        self.gone = asyncio.Event()
        self.received: Callable[[bytes], None] | None = None
        self.early = b""
        self._transport = transport

    def send(
        self, status: int, headers: dict[str, str], body: bytes, *, announced: int | None = None
    ) -> None:
        """Answer at once. `announced` lies about the length."""
        length = len(body) if announced is None else announced
        self._write(_head(status, {**headers, "content-length": str(length)}) + body)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of an answer in chunks."""
        self._write(_head(status, {**headers, "transfer-encoding": "chunked"}))

    def chunk(self, data: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self._write(b"0\r\n\r\n")

    @property
    def wants_socket(self) -> bool:
        """Whether the client asks for a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    def switch(self, headers: dict[str, str], received: Callable[[bytes], None]) -> None:
        """Stop speaking HTTP: `received` hears what comes from now on, and what has come already."""
        self._write(_head(101, headers))
        self.received = received
        early, self.early = self.early, b""
        if early:
            received(early)

    def write(self, data: bytes) -> None:
        self._write(data)

    def close(self) -> None:
        """Hang up after what was written."""
        self._transport.close()

    def reset(self) -> None:
        """Drop the connection with a TCP reset, unless it is gone."""
        if self._transport.is_closing():
            return
        with socket.socket(fileno=self._duplicate()) as handle:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _duplicate(self) -> int:
        return socket.dup(self._transport.get_extra_info("socket").fileno())

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client connection, kept alive; requests are answered one after the other."""

    def __init__(
        self, handle: Handler, tasks: set[asyncio.Task[None]], connections: "set[Connection]"
    ) -> None:
        self._handle = handle
        self._tasks = tasks
        self._connections = connections
        self.lost = asyncio.Event()
        self._parser = httptools.HttpRequestParser(self)
        self._exchange: Exchange | None = None
        self._switched: Exchange | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._connections.add(self)
        self._open: list[Exchange] = []

    def connection_lost(self, error: Exception | None) -> None:
        for exchange in self._open:
            exchange.gone.set()
        self._connections.discard(self)
        self.lost.set()

    def abort(self) -> None:
        self._transport.abort()

    def _pass_on(self, data: bytes) -> None:
        assert self._switched
        if self._switched.received is not None:
            self._switched.received(data)
        else:
            self._switched.early += data

    def data_received(self, data: bytes) -> None:
        if self._switched is not None:
            self._pass_on(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switched = self._exchange
            self._pass_on(data[upgrade.args[0] :])
        except httptools.HttpParserError:  # a TLS hello, for one
            self._transport.close()

    def on_message_begin(self) -> None:
        self._exchange = Exchange(self._transport)

    def on_url(self, url: bytes) -> None:
        assert self._exchange
        parts = urlsplit(url.decode())
        pairs = parse_qsl(parts.query)
        self._exchange.path, self._exchange.query, self._exchange.pairs = parts.path, dict(pairs), pairs

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self._exchange
        self._exchange.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        assert self._exchange
        self._exchange.body += body

    def on_message_complete(self) -> None:
        assert self._exchange
        self._exchange.method = self._parser.get_method().decode()
        self._open.append(self._exchange)
        task = asyncio.get_running_loop().create_task(self._serve(self._exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self._handle(exchange)
        except Exception:  # a bug of the simulation must not look like a silent vendor
            self._transport.abort()
            raise
        finally:
            self._open.remove(exchange)


class HttpServer:
    """Listens on 127.0.0.1 while it is entered. Port 0 takes a free one."""

    def __init__(self, handle: Handler, port: int = 0) -> None:
        self._handle = handle
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = port

    async def __aenter__(self) -> "HttpServer":
        loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._server = await loop.create_server(self._connect, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._connections):
            connection.abort()
            await connection.lost.wait()  # an abort takes effect a turn of the loop later
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _connect(self) -> Connection:
        return Connection(self._handle, self._tasks, self._connections)


def unused_url() -> str:
    """Return a URL where nobody listens: connections are refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}",
        *(f"{key}: {headers[key]}" for key in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
