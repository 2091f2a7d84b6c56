"""The server's side of a WebSocket, over a connection of `vendor_http`. It can lie, stop and break off."""

import base64
import hashlib
from collections.abc import Callable

import orjson
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from .vendor_http import Exchange

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Socket:
    """One accepted WebSocket. `on_message` hears text as `str` and binary as `bytes`."""

    def __init__(self, exchange: Exchange) -> None:
        self.on_message: Callable[[str | bytes], None] = lambda message: None
        self.gone = exchange.gone
        self._exchange = exchange
        self._frames = ServerProtocol(state=State.OPEN, max_size=None)
        accept = hashlib.sha1(exchange.headers["sec-websocket-key"].encode() + _MAGIC).digest()
        exchange.switch(
            {
                "upgrade": "websocket",
                "connection": "Upgrade",
                "sec-websocket-accept": base64.b64encode(accept).decode(),
            },
            self._received,
        )

    def send(self, message: str | bytes) -> None:
        if self._frames.state is not State.OPEN or self.gone.is_set():
            return
        if isinstance(message, str):
            self._frames.send_text(message.encode())
        else:
            self._frames.send_text(message)  # what orjson makes
        self._write()

    def send_json(self, message: object) -> None:
        self.send(orjson.dumps(message))

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self._frames.state is State.OPEN:
            self._frames.send_close(code, reason)
            self._write()

    def drop(self) -> None:
        """Break off without a good-bye."""
        self._exchange.reset()

    def _received(self, data: bytes) -> None:
        self._frames.receive_data(data)
        for frame in self._frames.events_received():
            if isinstance(frame, Frame) and frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                body = bytes(frame.data)
                self.on_message(body.decode() if frame.opcode is Opcode.TEXT else body)
        self._write()
        if self._frames.close_expected():
            self._exchange.close()

    def _write(self) -> None:
        for data in self._frames.data_to_send():
            if data:
                self._exchange.write(data)
            else:
                self._exchange.close()
