"""The shorter way for audio is a WebSocket like any other, whatever a client sends and however it is cut."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from voice.call_socket import EXTENSION, CallSocket

LARGEST = 60_000
whose: ContextVar[str] = ContextVar("whose", default="nobody")


@dataclass
class App:
    """Attaches when it is told to, notes what it is handed, and what `receive` says at the end."""

    heard: list[str | bytes] = field(default_factory=list)
    contexts: set[str] = field(default_factory=set)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    attach: asyncio.Event = field(default_factory=asyncio.Event)
    over: "asyncio.Future[dict[str, Any]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.socket: CallSocket = scope["extensions"][EXTENSION]
        self.send = send
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        whose.set("the call's")
        self.ready.set()
        await self.attach.wait()
        self.socket.attach(self.take)
        self.over.set_result(await receive())

    def take(self, message: str | bytes) -> None:
        self.heard.append(message)
        self.contexts.add(whose.get())


class Client:
    """The package's own protocol, and a socket whose bytes can be cut anywhere."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/x"), max_size=None)
        self.got: list[str | bytes] = []
        self.pongs: list[bytes] = []

    async def open(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.protocol.send_request(self.protocol.connect())
        self.writer.write(b"".join(self.protocol.data_to_send()))
        return self

    async def put(self, *frames: Frame, cut: int = 1 << 20) -> None:
        data = b"".join(frame.serialize(mask=True) for frame in frames)
        for at in range(0, len(data), cut):
            self.writer.write(data[at : at + cut])
            await self.writer.drain()
            if cut < len(data):
                await asyncio.sleep(0)  # so that the server reads it in pieces, most of the time

    async def until(self, good: Callable[[], Any]) -> None:
        """Read until something has come."""
        async with asyncio.timeout(10):
            while not good():
                data = await self.reader.read(1 << 16)
                if data:
                    self.protocol.receive_data(data)
                else:
                    self.protocol.receive_eof()
                for event in self.protocol.events_received():
                    if isinstance(event, Frame):
                        self._note(event)
                if not data:
                    assert good()

    def _note(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            self.got.append(bytes(frame.data).decode())
        elif frame.opcode is Opcode.BINARY:
            self.got.append(bytes(frame.data))
        elif frame.opcode is Opcode.PONG:
            self.pongs.append(bytes(frame.data))

    @property
    def close_code(self) -> int | None:
        return self.protocol.close_rcvd.code if self.protocol.close_rcvd else None


def text(message: str, **more: Any) -> Frame:
    return Frame(Opcode.TEXT, message.encode(), **more)


def binary(message: bytes) -> Frame:
    return Frame(Opcode.BINARY, message)


@asynccontextmanager
async def served() -> AsyncIterator[tuple[App, int]]:
    app = App()
    config = uvicorn.Config(
        app,
        ws=CallSocket,
        ws_max_size=LARGEST,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # who comes before the server does is waited for
        running = asyncio.ensure_future(server.serve([listener]))
        try:
            yield app, listener.getsockname()[1]
        finally:
            app.attach.set()
            server.should_exit = True
            await running


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[App, Client]]:
    """A client whose socket was accepted, and nobody listens yet."""
    async with served() as (app, port):
        client = await Client(port).open()
        await app.ready.wait()
        try:
            yield app, client
        finally:
            client.writer.close()


@asynccontextmanager
async def attached() -> AsyncIterator[tuple[App, Client]]:
    async with connected() as (app, client):
        app.attach.set()
        await settle(client)
        client.pongs.clear()
        yield app, client


async def settle(client: Client) -> None:
    """Everything sent so far has been read."""
    await client.put(Frame(Opcode.PING, b"so far"))
    await client.until(lambda: b"so far" in client.pongs)


@pytest.mark.parametrize("cut", [1, 2, 5, 131, 1 << 20])
async def test_messages_of_all_lengths_arrive_in_order_however_they_are_cut(cut: int) -> None:
    lengths = [0, 1, 124, 125, 126, 127, 160, 255, 256, 700] + ([LARGEST] if cut > 100 else [])
    messages: list[str | bytes] = []
    for length in lengths:
        messages += [
            "ü" * (length // 2) + "x" * (length % 2),
            bytes(number % 251 for number in range(length)),
        ]
    async with attached() as (app, client):
        frames = [text(each) if isinstance(each, str) else binary(each) for each in messages]
        await client.put(*frames, cut=cut)
        await settle(client)
        assert app.heard == messages
        assert app.contexts == {"the call's"}


@pytest.mark.parametrize("cut", [1, 3, 1 << 20])
async def test_pings_are_answered_between_messages(cut: int) -> None:
    async with attached() as (app, client):
        await client.put(
            text("a"), Frame(Opcode.PING, b"1"), text("b"), Frame(Opcode.PONG, b"?"), text("c"), cut=cut
        )
        await client.until(lambda: client.pongs == [b"1"])
        await settle(client)
        assert app.heard == ["a", "b", "c"]


@pytest.mark.parametrize("cut", [1, 1 << 20])
async def test_a_message_in_parts_is_one_message(cut: int) -> None:
    parts = [
        text("one ", fin=False),
        Frame(Opcode.CONT, b"two ", fin=False),
        Frame(Opcode.PING, b"within"),
        Frame(Opcode.CONT, b"three"),
    ]
    async with attached() as (app, client):
        await client.put(text("before"), *parts, text("after"), binary(b"and on"), cut=cut)
        await settle(client)
        assert app.heard == ["before", "one two three", "after", b"and on"]
        assert b"within" in client.pongs


async def test_what_came_before_somebody_listened_is_handed_over_first() -> None:
    async with connected() as (app, client):
        await client.put(text("early"), text("still early"))
        app.attach.set()
        await client.put(text("late"))
        await settle(client)
        assert app.heard == ["early", "still early", "late"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (binary(b"x" * (LARGEST + 1)).serialize(mask=True), 1009),
        (binary(b"x" * (1 << 17)).serialize(mask=True), 1009),
        (Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True), 1007),
        (text("not masked").serialize(mask=False), 1002),
        (Frame(Opcode.CONT, b"of nothing").serialize(mask=True), 1002),
        (b"\xc1\x81mask!", 1002),  # compressed, it says
        (b"\x09\x81mask!", 1002),  # a ping in parts
        (b"\x8b\x81mask!", 1002),  # an opcode of no kind
    ],
    # Masks are random; names of tests may not be.
    ids=(
        "too long",
        "far too long",
        "no UTF-8",
        "not masked",
        "part of nothing",
        "reserved",
        "ping",
        "opcode",
    ),
)
async def test_what_is_wrong_ends_the_connection_and_is_not_handed_over(wrong: bytes, code: int) -> None:
    async with attached() as (app, client):
        await client.put(text("fine"))
        client.writer.write(wrong)
        await client.until(lambda: client.close_code)
        assert client.close_code == code
        assert (await app.over)["type"] == "websocket.disconnect"
        assert app.heard == ["fine"]
        assert not app.socket.send_now("nobody hears this")


async def test_a_good_bye_is_told_and_nothing_is_heard_after_it() -> None:
    async with attached() as (app, client):
        bye = Frame(Opcode.CLOSE, (1001).to_bytes(2, "big") + b"going")
        await client.put(text("last words"), bye, text("no words"))
        assert (await app.over)["code"] == 1001
        assert app.heard == ["last words"]


async def test_what_is_sent_at_once_arrives_as_it_is() -> None:
    sizes = (0, 1, 125, 126, 65_535, 65_536, 100_000)
    async with attached() as (app, client):
        messages: list[str | bytes] = []
        for size in sizes:
            messages += ["é" * (size // 2), bytes(size)]
        assert all(app.socket.send_now(message) for message in messages)
        await app.send({"type": "websocket.send", "text": "the long way"})
        await client.until(lambda: len(client.got) > len(messages))
        assert client.got == [*messages, "the long way"]


async def test_a_client_that_does_not_read_is_not_sent_to_at_once() -> None:
    async with attached() as (app, client):
        sent = 0
        while app.socket.send_now(bytes(50_000)):
            sent += 1
            await asyncio.sleep(0)
            assert sent < 10_000
        waiting = asyncio.ensure_future(app.send({"type": "websocket.send", "text": "then"}))
        await asyncio.sleep(0)
        assert not waiting.done()
        await client.until(lambda: client.got[-1:] == ["then"])
        assert len(client.got) == sent + 1
        await waiting
        assert app.socket.send_now("and now at once")
