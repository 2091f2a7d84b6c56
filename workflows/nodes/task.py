"""A network is given a task, and the run waits for its result."""

from collections.abc import Iterator
from typing import Final

from ..findings import Finding
from ..graph import Graph, Node
from .base import ANY, TEXT, NodeType, World


def _check(node: Node, graph: Graph, world: World) -> Iterator[Finding]:
    network = node.config.get("network_id")
    if isinstance(network, str) and world.networks is not None and network not in world.networks:
        yield Finding(
            "unknown_network", f"There is no network {network}.", node.id, field="/config/network_id"
        )


TASK: Final = NodeType(
    "task",
    {
        "network_id": {"type": "string", "maxLength": 40},
        "task": {**TEXT, "minLength": 1},
        "context": ANY,
        "priority": {"type": "integer", "minimum": 1, "maximum": 10},
        "output_schema": {"type": "object"},
    },
    required=("network_id", "task"),
    templates=("task", "context"),
    check=_check,
)
