"""A graph out of JSON: its shape is checked, every fault is told. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from .findings import Finding
from .graph import MOST_EDGES, MOST_NODES, Edge, Graph, Node

_NODE: Final = {"id", "type", "label", "agent_id", "tool_id", "config", "position"}
_EDGE: Final = {"id", "from_node_id", "to_node_id", "condition", "label"}
LONGEST_ID: Final = 60  # with the rounds of loops it becomes a step's key


def parse_graph(body: Any) -> tuple[Graph, list[Finding]]:
    """Read a graph as far as it can be read. The findings name what could not be."""
    findings: list[Finding] = []
    if not isinstance(body, Mapping):
        return Graph((), ()), [Finding("not_an_object", "A graph is an object with nodes and edges.")]
    for name in body:
        if name not in ("nodes", "edges"):
            findings.append(Finding("unknown_field", f"A graph has no {name!r}.", field=f"/{name}"))
    nodes = [
        node
        for index, item in enumerate(_items(body, "nodes", MOST_NODES, findings))
        if (node := _node(item, index, findings))
    ]
    edges = [
        edge
        for index, item in enumerate(_items(body, "edges", MOST_EDGES, findings))
        if (edge := _edge(item, index, findings))
    ]
    _check_unique(nodes, edges, findings)
    return Graph(tuple({node.id: node for node in nodes}.values()), tuple(edges)), findings


def graph_as_json(graph: Graph) -> dict[str, Any]:
    """The part of a graph that is its identity: no positions, no empty fields."""
    return {
        "nodes": [node_as_json(node) for node in graph.nodes],
        "edges": [edge_as_json(edge) for edge in graph.edges],
    }


def node_as_json(node: Node) -> dict[str, Any]:
    """A node without its empty fields."""
    return _present(
        id=node.id,
        type=node.type,
        label=node.label,
        agent_id=node.agent_id,
        tool_id=node.tool_id,
        config=dict(node.config),
    )


def edge_as_json(edge: Edge) -> dict[str, Any]:
    """An edge without its empty fields."""
    return _present(
        id=edge.id,
        from_node_id=edge.source,
        to_node_id=edge.target,
        condition=edge.condition,
        label=edge.label,
    )


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _items(body: Mapping[str, Any], name: str, most: int, findings: list[Finding]) -> list[Any]:
    items = body.get(name, [])
    if not isinstance(items, list):
        findings.append(Finding("wrong_type", f"{name} is a list.", field=f"/{name}"))
        return []
    if len(items) > most:
        findings.append(Finding("too_many", f"A graph has at most {most} {name}.", field=f"/{name}"))
    return items[:most]


def _node(item: Any, index: int, findings: list[Finding]) -> Node | None:
    texts = _texts(item, f"/nodes/{index}", _NODE, ("id", "type", "label", "agent_id", "tool_id"), findings)
    if texts is None:
        return None
    id_ = texts["id"]
    if not id_ or not texts["type"]:
        findings.append(
            Finding("missing_field", "A node needs an id and a type.", node_id=id_, field=f"/nodes/{index}")
        )
        return None
    if len(id_) > LONGEST_ID or not all(c.isascii() and (c.isalnum() or c in "_-") for c in id_):
        findings.append(
            Finding(
                "bad_id",
                f"An id has at most {LONGEST_ID} letters, digits, - and _.",
                node_id=id_[:LONGEST_ID],
                field=f"/nodes/{index}/id",
            )
        )
        return None
    config = item.get("config", {})
    if not isinstance(config, Mapping):
        findings.append(Finding("wrong_type", "config is an object.", id_, field="/config"))
        config = {}
    return Node(config=dict(config), **texts)


def _edge(item: Any, index: int, findings: list[Finding]) -> Edge | None:
    names = ("id", "from_node_id", "to_node_id", "condition", "label")
    texts = _texts(item, f"/edges/{index}", _EDGE, names, findings)
    if texts is None:
        return None
    if not texts["from_node_id"] or not texts["to_node_id"]:
        findings.append(
            Finding(
                "missing_field",
                "An edge needs from_node_id and to_node_id.",
                edge_id=texts["id"],
                field=f"/edges/{index}",
            )
        )
        return None
    id_ = texts["id"] or f"{texts['from_node_id']}-{texts['to_node_id']}-{index}"
    return Edge(id_, texts["from_node_id"], texts["to_node_id"], texts["condition"].strip(), texts["label"])


def _texts(
    item: Any, pointer: str, known: set[str], names: tuple[str, ...], findings: list[Finding]
) -> dict[str, str] | None:
    """Return the texts of a node or an edge, "" for those that are absent or null."""
    if not isinstance(item, Mapping):
        findings.append(Finding("not_an_object", "This is an object.", field=pointer))
        return None
    for name in item:
        if name not in known:
            findings.append(
                Finding("unknown_field", f"There is no field {name!r}.", field=f"{pointer}/{name}")
            )
    texts = {}
    for name in names:
        value = item.get(name)
        if value is not None and not isinstance(value, str):
            findings.append(Finding("wrong_type", f"{name} is text.", field=f"{pointer}/{name}"))
            value = None
        texts[name] = value or ""
    return texts


def _check_unique(nodes: list[Node], edges: list[Edge], findings: list[Finding]) -> None:
    seen: set[str] = set()
    for node in nodes:
        if node.id in seen:
            findings.append(Finding("duplicate_id", f"Two nodes are called {node.id!r}.", node.id))
        seen.add(node.id)
    ids: set[str] = set()
    for edge in edges:
        if edge.id in ids:
            findings.append(Finding("duplicate_id", f"Two edges are called {edge.id!r}.", edge_id=edge.id))
        ids.add(edge.id)
        for end in (edge.source, edge.target):
            if end not in seen:
                findings.append(Finding("unknown_node", f"There is no node {end!r}.", edge_id=edge.id))


def positions_of(body: Any) -> dict[str, Any]:
    """Where the nodes of a graph are drawn, as far as it says so: node id to {x, y}."""
    nodes = body.get("nodes") if isinstance(body, Mapping) else None
    found = {}
    for node in nodes if isinstance(nodes, list) else []:
        if isinstance(node, Mapping) and isinstance(node.get("id"), str):
            position = node.get("position")
            if isinstance(position, Mapping) and all(_is_number(position.get(axis)) for axis in "xy"):
                found[node["id"]] = {"x": position["x"], "y": position["y"]}
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
