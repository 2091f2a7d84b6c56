"""The description of a node type: its config, and how many edges it may have."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..findings import Finding
from ..graph import Graph, Node


@dataclass(frozen=True, slots=True)
class World:
    """What a graph may refer to. None: not known here, so it is not checked."""

    agents: frozenset[str] | None = None
    tools: frozenset[str] | None = None
    networks: frozenset[str] | None = None
    people: frozenset[str] | None = None


Check = Callable[[Node, Graph, World], Iterator[Finding]]


def no_check(node: Node, graph: Graph, world: World) -> Iterator[Finding]:
    """Find nothing."""
    yield from ()


@dataclass(frozen=True, slots=True)
class NodeType:
    """One type of node.

    `config` is a JSON Schema (draft 2020-12) of its config, without the fields that every node has. `templates`
    are the config fields that may hold `{{ … }}`, `conditions` those that are expressions. `on_call`: it needs a
    caller, so its graph is run by telephone calls only.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    needs_agent: bool = False
    needs_tool: bool = False
    fewest_in: int = 1
    fewest_out: int = 1
    most_out: int | None = None
    on_call: bool = False
    check: Check = no_check

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a node's whole config."""
        return {
            "type": "object",
            "properties": {**COMMON, **self.config},
            "required": list(self.required),
            "additionalProperties": False,
        }


TEXT = {"type": "string", "maxLength": 20_000}
ANY: dict[str, Any] = {}
SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 30 * 86_400}

#: What every node may have: what it writes to the context, and what happens when it fails.
COMMON: Mapping[str, Any] = {
    "writes": {"type": "object", "additionalProperties": ANY, "maxProperties": 50},
    "retries": {"type": "integer", "minimum": 0, "maximum": 10},
    "backoff_seconds": {"type": "number", "minimum": 0, "maximum": 3600},
    "timeout_seconds": SECONDS,
    "on_error": {"enum": ["fail", "continue", "route"]},
    "notes": TEXT,
}
