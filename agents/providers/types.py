"""The values every model provider speaks: requests in, chunks out. Frozen, plain, without Django."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asks for. `arguments` is the parsed JSON object."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Opaque:
    """Blocks only their maker understands (thinking, signatures); dropped when another model reads on."""

    provider: str
    model: str
    blocks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    opaque: Opaque | None = None


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool offered to the model; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The JSON Schema the reply's text must satisfy; `name` is also its purpose ("coordinator_decision")."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to one model, in no provider's dialect.

    `model` is a catalogue id or an alias; the chain rewrites it for each candidate. `stream=False` asks
    the vendor for one whole reply (cheaper to parse); the chunks then arrive all at once.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int = 4096
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    output_schema: OutputSchema | None = None
    stream: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the vendor counted them. `input` includes `cached`; `output` includes `reasoning`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


class FinishReason(StrEnum):
    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    MAX_TOKENS = "max_tokens"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call: `id` and `name` come with the first piece of an `index`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The last chunk of every complete reply. A stream that ends without one was cut."""

    finish_reason: FinishReason
    usage: Usage
    provider: str
    model: str
    request_id: str = ""
    opaque: Opaque | None = None


Chunk = TextDelta | ToolCallDelta | Done


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply, folded from its chunks. `model` is the model that really answered."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    provider: str
    model: str
    request_id: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    opaque: Opaque | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens, as published on `date` (ISO)."""

    input: float = 0.0
    output: float = 0.0
    cached: float = 0.0
    date: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model takes. Wrappers and providers consult it instead of guessing from names."""

    context_window: int = 128_000
    max_output: int = 8_192
    sampling: bool = True
    forced_tool_choice: bool = True
    json_schema: bool = True
    thinking_blocks: bool = False
    vision: bool = False
    price: Price = field(default_factory=Price)
    retires_on: str | None = None
