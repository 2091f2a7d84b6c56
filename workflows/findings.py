"""What is wrong with a graph, said so that an editor can show it where it is."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is for programs, `message` for people, `field` a JSON pointer below the node or edge.

    A finding without node and edge is about the graph as a whole.
    """

    code: str
    message: str
    node_id: str = ""
    edge_id: str = ""
    field: str = ""

    def as_json(self) -> dict[str, Any]:
        named = {"node_id": self.node_id, "edge_id": self.edge_id, "field": self.field}
        return {
            "code": self.code,
            "message": self.message,
            **{key: value for key, value in named.items() if value},
        }
