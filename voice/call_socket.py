"""uvicorn's WebSocket with a shorter way for audio.

uvicorn parses a frame in generators, queues its message, stops the socket, wakes a task to fetch it and starts the
socket again: more work than a call has with the audio. Here whole messages are handed over by a plain call as they
are read, and sent by one. Everything else (handshakes, pings, closing, fragments, what is wrong) stays uvicorn's.
"""

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from .websocket_frames import BINARY, TEXT, Unusual, find, pack, unmask

EXTENSION: Final = "mesh.call_socket"  # in an ASGI scope's extensions

OnMessage = Callable[[str | bytes], None]


class CallSocket(WebSocketsSansIOProtocol):
    """One connection. ASGI as ever, until the application `attach`es itself."""

    _on_message: OnMessage | None = None
    _context: Context
    _plain = False  # whether frames are looked at here before uvicorn sees them
    _begun = b""  # of a frame that is not complete

    def attach(self, on_message: OnMessage) -> None:
        """Hand over messages from now on, those that wait first, in the caller's context. `receive` still tells of
        the end. `on_message` may not wait, nor raise."""
        self._context = copy_context()
        self._on_message = on_message
        self._hand_over()

    def send_now(self, message: str | bytes) -> bool:
        """Send at once. False when that cannot be: the other side is slow or gone, and ASGI's `send` waits or
        raises."""
        if self.conn.state is not State.OPEN or not self.writable.is_set() or self.transport.is_closing():
            return False
        frame = pack(TEXT, message.encode()) if isinstance(message, str) else pack(BINARY, message)
        self.transport.write(frame)
        return True

    # What uvicorn and asyncio call.

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        if not self._plain:
            super().data_received(data)
            # A frame begins where a request has ended. Who sends one before the answer is left to uvicorn.
            self._plain = not self.handshake_complete and data.endswith(b"\r\n\r\n")
            return
        if self._begun:
            data = self._begun + data
        at = 0
        try:
            while frame := find(data, at):
                self._frame(data, at, *frame)
                at = frame[2]
        except Unusual:  # from here on uvicorn reads them all: a message in parts has parts to come
            self._plain = False
            self._begun = b""
            super().data_received(data[at:])
            return
        self._begun = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_message = None  # it holds the call, and the call's consumer holds this

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        self._hand_over()

    # The rest is between us.

    def _frame(self, data: bytes, at: int, first: int, begins: int, ends: int) -> None:
        if (
            self._on_message is not None
            and self.conn.state is State.OPEN
            and ends - begins <= self.config.ws_max_size
        ):
            if first == TEXT:
                try:
                    self._context.run(self._on_message, unmask(data, begins, ends).decode())
                    return
                except UnicodeDecodeError:
                    pass  # uvicorn closes such a connection
            elif first == BINARY:
                self._context.run(self._on_message, unmask(data, begins, ends))
                return
        super().data_received(data[at:ends])

    def _hand_over(self) -> None:
        """Give the application what uvicorn has queued for it, but for the end."""
        if self._on_message is None:
            return
        waiting = [self.queue.get_nowait() for _ in range(self.queue.qsize())]
        for event in waiting:
            if event["type"] == "websocket.receive":
                message = event.get("text")
                self._context.run(self._on_message, event["bytes"] or b"" if message is None else message)
            else:
                self.queue.put_nowait(event)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
