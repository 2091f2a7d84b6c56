"""The first edge whose condition holds is taken."""

from collections.abc import Iterator
from typing import Final

from ..findings import Finding
from ..graph import Graph, Node
from .base import NodeType, World


def _check(node: Node, graph: Graph, world: World) -> Iterator[Finding]:
    edges = graph.out[node.id]
    defaults = [edge for edge in edges if not edge.condition]
    if not defaults:
        yield Finding(
            "branch_without_default", "A branch needs one edge without a condition, its default.", node.id
        )
    elif len(defaults) > 1:
        yield Finding("branch_with_two_defaults", "A branch has one edge without a condition.", node.id)
    elif edges[-1] is not defaults[0]:
        yield Finding(
            "branch_default_not_last",
            "The edge without a condition always matches: those after it are never taken.",
            node.id,
            edge_id=defaults[0].id,
        )


BRANCH: Final = NodeType("branch", fewest_out=2, check=_check)
