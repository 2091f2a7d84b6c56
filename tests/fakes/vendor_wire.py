"""What the wire formats of the simulated vendors share."""

from collections.abc import Iterator
from typing import Any

import orjson

from agents.prompting import read_blocks
from agents.providers.types import OutputSchema


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
