"""What a tool is, what it is called with, and the one error a call can end in. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from web.egress import Egress


class Effect(StrEnum):
    """Whether a call may be made again when nobody knows whether it was made."""

    READ_ONLY = "read_only"
    IDEMPOTENT = "idempotent"  # the other side knows a repeated call by its idempotency key
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a run's snapshot holds it. Secrets are not in it: they are looked up at the call."""

    id: str
    name: str
    type: str
    description: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    input_schema: Mapping[str, Any] = field(default_factory=dict)
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    effect: Effect = Effect.UNSAFE


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a tool is called. `idempotency_key` is the same however often the call is tried."""

    project_id: str
    idempotency_key: str
    network_id: str = ""
    agent_id: str = ""
    run_id: str = ""
    step_id: str = ""
    call_id: str = ""


class ToolFailed(Exception):
    """A call did not succeed; the message is for the agent and for people, and holds no secret.

    `retryable`: the same call may succeed later. `unknown`: the other side may have acted on it.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, unknown: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.unknown = unknown


class MemoryPort(Protocol):
    """The shared memory, for builtin tools."""

    async def search(self, caller: Caller, query: str, limit: int) -> list[dict[str, Any]]: ...

    async def remember(self, caller: Caller, type: str, content: str, confidence: float) -> str:
        """Write an item once for the caller's idempotency key; returns its id."""
        ...


class Secrets(Protocol):
    async def of(self, tool_id: str) -> Mapping[str, str]:
        """The decrypted secrets of a tool, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What tools work with; what is None is not there. `evaluate` works out an expression without names, and
    raises `ToolFailed`; `send_email` takes to, subject, body and an idempotency key; `mcp_commands` are the
    command lines of MCP servers by the names that tools may use."""

    egress: Egress
    secrets: Secrets
    memory: MemoryPort | None = None
    evaluate: Callable[[str], Any] | None = None
    send_email: Callable[[str, str, str, str], Awaitable[None]] | None = None
    mcp_commands: Mapping[str, str] = field(default_factory=dict)


class ToolKind(Protocol):
    """How the tools of a type are called."""

    async def __call__(
        self, spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings
    ) -> Any:
        """Call the tool with arguments that satisfy its schema and return JSON. Raises `ToolFailed`."""
        ...
