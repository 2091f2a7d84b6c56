"""What a simulated vendor can be told to do: say something, or fail in one of the ways vendors fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.providers import types
from agents.providers.types import FinishReason, ToolCall, Usage

FaultKind = Literal[
    "status",  # an HTTP error with body and headers
    "silence",  # the request is taken, no byte comes
    "silence_in_stream",  # the first event comes, then nothing
    "drip",  # the right answer, a byte every `interval` s
    "html",  # 200 with a page
    "cut_json",  # 200 with half of the JSON
    "empty_object",  # 200 {}
    "null",  # 200 null
    "empty",  # 200 and no body
    "array",  # 200 []
    "wrong_types",  # 200, the right fields, wrong types inside
    "cut_stream",  # the stream ends politely before the reply did; a whole reply lacks its stop reason
    "broken_stream",  # the connection closes inside the answer
    "error_event",  # an error event inside the stream (a status without streaming)
    "reset",  # a TCP reset instead of an answer
    "reset_in_stream",  # a TCP reset after the first event
]
GARBAGE: tuple[FaultKind, ...] = ("html", "cut_json", "empty_object", "null", "empty", "array", "wrong_types")


@dataclass(frozen=True)
class Reply:
    """A good answer. `first_byte` and `per_chunk` are seconds; None takes the vendor's setting.

    `match` keeps the step for the first request whose body contains it. `thinking` adds a signed
    thinking block in the vendor's form. `model` is what the vendor says it used.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: FinishReason = FinishReason.STOP
    usage: Usage = field(default_factory=lambda: Usage(input=11, output=7))
    thinking: str = ""
    stop_reason: str = ""  # the vendor's own word, instead of `finish`
    model: str = ""
    first_byte: float | None = None
    per_chunk: float = 0.0
    match: str = ""

    @classmethod
    def of(cls, reply: types.Reply) -> "Reply":
        return cls(reply.text, reply.tool_calls, reply.finish_reason, reply.usage)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Reply":
        """Build from the JSON of `POST /script`."""
        fields = dict(data)
        fields["tool_calls"] = tuple(ToolCall(**call) for call in fields.get("tool_calls", ()))
        if "usage" in fields:
            fields["usage"] = Usage(**fields["usage"])
        if "finish" in fields:
            fields["finish"] = FinishReason(fields["finish"])
        return cls(**fields)


@dataclass(frozen=True)
class Fault:
    """A failure. A given `status` means an HTTP error; `body` defaults to the vendor's own shape of it.

    `error` is the vendor's word for the error (type, code or status), in the body or the error event.
    """

    kind: FaultKind = "status"
    status: int = 500
    error: str = ""
    message: str = "scripted fault"
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    first_byte: float | None = None
    interval: float = 0.2
    match: str = ""


Step = Reply | Fault
