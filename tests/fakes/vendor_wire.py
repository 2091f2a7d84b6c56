"""What a vendor's wire format is to the simulation, and what the formats share."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from agents.prompting import read_blocks
from agents.providers.types import ModelRequest, OutputSchema

from .vendor_script import Reply

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}


class BadRequest(Exception):
    """What the real vendor would refuse: naive callers are caught here."""


@dataclass
class Ask:
    """A request as understood: enough to answer it."""

    request: ModelRequest
    stream: bool
    body: dict[str, Any]
    call_id: str = ""


class Wire(Protocol):
    """A vendor's wire format."""

    id_header: str

    def api_key(self, headers: dict[str, str]) -> str: ...
    def parse(self, path: str, body: dict[str, Any]) -> Ask: ...
    def whole(self, ask: Ask, reply: Reply) -> dict[str, Any]: ...
    def events(self, ask: Ask, reply: Reply) -> list[bytes]: ...
    def unfinished(self, whole: dict[str, Any]) -> dict[str, Any]:
        """Take the stop reason out of a whole reply."""
        ...

    def wrong_types(self, whole: dict[str, Any]) -> dict[str, Any]: ...
    def wrong_event(self) -> bytes: ...
    def error(self, status: int, error: str, message: str) -> Any: ...
    def error_event(self, error: str, message: str) -> bytes: ...


@dataclass
class Call:
    """One request that arrived. `complete` says that the whole reply left; `gone` that the client did."""

    id: str
    path: str
    api_key: str
    body: dict[str, Any]
    body_sha256: str
    headers: dict[str, str]
    at: float
    gone: asyncio.Event
    model: str = ""
    stream: bool = False
    status: int = 0
    complete: bool = False
    ended: float = 0.0  # when the last byte had left
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def to_json(self) -> dict[str, Any]:
        keys = (
            "id",
            "path",
            "api_key",
            "model",
            "stream",
            "status",
            "complete",
            "body_sha256",
            "at",
            "ended",
        )
        return {key: getattr(self, key) for key in keys}


def sse(data: Any, event: str = "") -> bytes:
    """Return one server-sent event."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + orjson.dumps(data) + b"\n\n"


def pieces(text: str, size: int = 24) -> Iterator[str]:
    """Part a text the way models send it."""
    return (text[start : start + size] for start in range(0, len(text), size))


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or parts with `text`."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def schema_in(system: str) -> OutputSchema | None:
    """Return the schema a caller put into the prompt, for want of an API for it."""
    block = read_blocks(system).get("output_schema")
    return OutputSchema(block["name"], block["schema"]) if isinstance(block, dict) else None
