"""Nodes are gone through again, for a bounded number of rounds."""

from collections.abc import Iterator
from typing import Final

from ..findings import Finding
from ..graph import LOOP_BODY, Graph, Node
from .base import NodeType, World


def _check(node: Node, graph: Graph, world: World) -> Iterator[Finding]:
    edges = graph.out[node.id]
    if not any(edge.label == LOOP_BODY for edge in edges):
        yield Finding("loop_without_body", f"A loop needs an edge labelled {LOOP_BODY!r}.", node.id)
    elif not graph.loops[node.id]:
        yield Finding("loop_without_return", "Nothing leads from the loop's body back to it.", node.id)
    if all(edge.label == LOOP_BODY for edge in edges):
        yield Finding("loop_without_exit", "A loop needs an edge for when it is over.", node.id)
    for inside in graph.loops[node.id]:
        for edge in graph.out[inside]:
            if edge.target != node.id and edge.target not in graph.loops[node.id]:
                yield Finding(
                    "edge_out_of_loop",
                    f"A loop is left through its own node {node.id} only.",
                    inside,
                    edge_id=edge.id,
                )


#: Before each round `while` is asked (`loop.round` counts from 0); false, or `max_rounds` reached, ends it.
LOOP: Final = NodeType(
    "loop",
    {
        "max_rounds": {"type": "integer", "minimum": 1, "maximum": 100},
        "while": {"type": "string", "maxLength": 2000},
    },
    required=("max_rounds",),
    conditions=("while",),
    fewest_in=2,
    fewest_out=2,
    check=_check,
)
