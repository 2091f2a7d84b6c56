"""A TCP door in front of a server, which can be shut, left to hang, or slammed."""

import asyncio
from contextlib import suppress
from typing import Literal

Way = Literal["pass", "refuse", "hang"]


class Door:
    """Passes connections on to a server. `way` holds for new connections; `slam` cuts those there are.

    `target` is a port on 127.0.0.1 or the path of a unix socket. Refused means that nobody listens.
    """

    def __init__(self, target: int | str) -> None:
        self._target = target
        self._way: Way = "pass"
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._frozen = asyncio.Event()  # set: bytes pass
        self.port = 0
        self.accepted = 0

    async def __aenter__(self) -> "Door":
        self._frozen.set()
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go("refuse")

    async def go(self, way: Way) -> None:
        """Change the way. Hanging freezes the connections there are as well; refusing cuts them."""
        self._way = way
        if way == "refuse":
            await self._close()
        elif self._server is None:
            await self._listen()
        if way == "hang":
            self._frozen.clear()
        else:
            self._frozen.set()

    async def slam(self) -> None:
        """Cut all connections with a reset."""
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.slam()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            await self._frozen.wait()
            there, back = await self._connect()
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(back)
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            for end in (writer, back):
                end.transport.abort()
                self._writers.discard(end)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._frozen.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
