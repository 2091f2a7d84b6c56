"""The other side of a WebSocket, as an ASGI server brings it (channels' own needs daphne)."""

import json
from typing import Any
from urllib.parse import urlsplit

from asgiref.testing import ApplicationCommunicator


class Socket(ApplicationCommunicator):
    """One WebSocket to an application."""

    def __init__(self, application: Any, address: str, *, headers: Any = (), protocols: Any = ()) -> None:
        parts = urlsplit(address)
        super().__init__(
            application,
            {
                "type": "websocket",
                "path": parts.path,
                "query_string": parts.query.encode(),
                "headers": list(headers),
                "subprotocols": list(protocols),
            },
        )

    async def connect(self) -> tuple[bool, str | None]:
        """Return whether it was accepted, and by which protocol."""
        await self.send_input({"type": "websocket.connect"})
        answer = await self.receive_output(5)
        return answer["type"] == "websocket.accept", answer.get("subprotocol")

    async def say(self, text: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        """Return the next message."""
        message = await self.receive_output(5)
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def closed(self) -> tuple[int, str]:
        message = await self.receive_output(5)
        assert message["type"] == "websocket.close", message
        return message["code"], message["reason"]

    async def leave(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.wait(5)
