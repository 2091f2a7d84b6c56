"""A workflow's graph: nodes, edges, and what follows from its shape. Pure.

    {"nodes": [{"id", "type", "label"?, "agent_id"?, "tool_id"?, "config"?, "position"?}],
     "edges": [{"id", "from_node_id", "to_node_id", "condition"?, "label"?}]}

A graph has no cycle except through loop nodes: an edge back to a loop node from the nodes of its body. The
body is what is reached by the loop's edges labelled `body` before the loop is reached again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

LOOP_BODY: Final = "body"
MOST_NODES: Final = 500
MOST_EDGES: Final = 2000


@dataclass(frozen=True, slots=True)
class Node:
    """One box. `config` is what its type makes of it (workflows/nodes)."""

    id: str
    type: str
    label: str = ""
    agent_id: str = ""
    tool_id: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow. Without a condition it always matches; `label` names it for people and for routes."""

    id: str
    source: str
    target: str
    condition: str = ""
    label: str = ""


@dataclass(frozen=True)
class Graph:
    """Nodes and edges in the order in which they were given; edges are tried in that order."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        return {node.id: node for node in self.nodes}

    @cached_property
    def out(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that leave each node."""
        return self._grouped(lambda edge: edge.source)

    @cached_property
    def into(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that reach each node."""
        return self._grouped(lambda edge: edge.target)

    def _grouped(self, key: Any) -> Mapping[str, tuple[Edge, ...]]:
        found: dict[str, list[Edge]] = {node.id: [] for node in self.nodes}
        for edge in self.edges:
            if key(edge) in found:
                found[key(edge)].append(edge)
        return {id_: tuple(edges) for id_, edges in found.items()}

    def of_type(self, type_: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.type == type_)

    def reached_from(self, starts: Sequence[str], *, stop_at: str = "") -> frozenset[str]:
        """The nodes that can be reached from `starts`, they themselves included, not going through `stop_at`."""
        seen: set[str] = set()
        waiting = [start for start in starts if start in self.by_id and start != stop_at]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            waiting += [
                edge.target for edge in self.out[node] if edge.target in self.by_id and edge.target != stop_at
            ]
        return frozenset(seen)

    @cached_property
    def loops(self) -> Mapping[str, frozenset[str]]:
        """The body of each loop node: the nodes between it and its edges back."""
        found = {}
        for loop in self.of_type("loop"):
            starts = [edge.target for edge in self.out[loop.id] if edge.label == LOOP_BODY]
            found[loop.id] = self.reached_from(starts, stop_at=loop.id) & self._coming_back(loop.id)
        return found

    def _coming_back(self, loop: str) -> frozenset[str]:
        """The nodes from which a node is reached."""
        seen: set[str] = set()
        waiting = [edge.source for edge in self.into[loop]]
        while waiting:
            node = waiting.pop()
            if node in seen or node == loop or node not in self.by_id:
                continue
            seen.add(node)
            waiting += [edge.source for edge in self.into[node]]
        return frozenset(seen)

    @cached_property
    def back_edges(self) -> frozenset[str]:
        """The edges by which a round of a loop ends."""
        return frozenset(
            edge.id for loop, body in self.loops.items() for edge in self.into[loop] if edge.source in body
        )

    @cached_property
    def forward(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that leave each node, without those back to a loop."""
        return {
            id_: tuple(e for e in edges if e.id not in self.back_edges) for id_, edges in self.out.items()
        }

    def loops_around(self, node: str) -> tuple[str, ...]:
        """The loops whose bodies hold a node, the outermost first."""
        around = [loop for loop, body in self.loops.items() if node in body]
        return tuple(sorted(around, key=lambda loop: -len(self.loops[loop])))

    @cached_property
    def ancestors(self) -> Mapping[str, frozenset[str]]:
        """The nodes that may have ended before each node begins, in this or an earlier round."""
        found: dict[str, set[str]] = {node.id: set() for node in self.nodes}
        for node in self.nodes:
            for below in self.reached_from([edge.target for edge in self.out[node.id]]):
                found[below].add(node.id)
        return {id_: frozenset(above) for id_, above in found.items()}

    def cycle(self) -> tuple[str, ...]:
        """A cycle that does not go through a loop node's edge back, as node ids; empty when there is none."""
        state: dict[str, int] = {}
        for root in self.by_id:
            path: list[str] = []
            stack: list[tuple[str, Iterator[Edge]]] = []
            if state.get(root):
                continue
            state[root] = 1
            path.append(root)
            stack.append((root, iter(self.forward[root])))
            while stack:
                node, edges = stack[-1]
                edge = next(edges, None)
                if edge is None:
                    stack.pop()
                    path.pop()
                    state[node] = 2
                elif edge.target not in self.by_id or state.get(edge.target) == 2:
                    continue
                elif state.get(edge.target) == 1:
                    return tuple(path[path.index(edge.target) :])
                else:
                    state[edge.target] = 1
                    path.append(edge.target)
                    stack.append((edge.target, iter(self.forward[edge.target])))
        return ()
