"""What two graphs have different, by node and edge. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from .graph import Edge, Graph, Node
from .parsing import edge_as_json, node_as_json


def diff(before: Graph, after: Graph) -> dict[str, Any]:
    """Return {nodes, edges}, each with added, removed and changed; a change lists its fields with both values."""
    return {
        "nodes": _compare(
            {node.id: node for node in before.nodes}, {node.id: node for node in after.nodes}, _node
        ),
        "edges": _compare(
            {edge.id: edge for edge in before.edges}, {edge.id: edge for edge in after.edges}, _edge
        ),
    }


def _node(node: Node) -> dict[str, Any]:
    fields = node_as_json(node)
    config = fields.pop("config", {})
    return fields | {f"config.{name}": value for name, value in config.items()}


def _edge(edge: Edge) -> dict[str, Any]:
    return edge_as_json(edge)


def _compare(
    before: Mapping[str, Any], after: Mapping[str, Any], shape: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    changed = []
    for id_ in before:
        if id_ in after and (old := shape(before[id_])) != (new := shape(after[id_])):
            names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            changed.append(
                {
                    "id": id_,
                    "fields": {name: {"before": old.get(name), "after": new.get(name)} for name in names},
                }
            )
    return {
        "added": [shape(after[id_]) for id_ in after if id_ not in before],
        "removed": [shape(before[id_]) for id_ in before if id_ not in after],
        "changed": changed,
    }
