"""Whether a graph can be run: every finding at once, each with its node or edge. Pure."""

from collections.abc import Iterator
from typing import Any, Final

from jsonschema import Draft202012Validator

from web.jsonschemas import fault_of

from .expressions import Expression, ExpressionError, parse
from .findings import Finding
from .graph import Graph, Node
from .nodes.base import World
from .nodes.registry import NODE_TYPES
from .parsing import parse_graph
from .templates import expressions_of

#: What conditions and templates may look at. `output` is there for `writes` and the edges that leave the node.
NAMES: Final = frozenset({"input", "nodes", "context", "run", "loop"})
WITH_OUTPUT: Final = NAMES | {"output"}


def validate(body: Any, world: World | None = None) -> tuple[Graph, list[Finding]]:
    """Read a graph and find all that keeps it from being run; no findings: it is valid."""
    graph, findings = parse_graph(body)
    findings += _shape(graph)
    for node in graph.nodes:
        findings += _node(node, graph, world or World())
    findings += _edges(graph)
    unique: dict[Finding, None] = dict.fromkeys(findings)
    return graph, list(unique)


def _shape(graph: Graph) -> Iterator[Finding]:
    starts, ends = graph.of_type("start"), graph.of_type("end")
    if not starts:
        yield Finding("no_start", "A workflow begins at a start node; there is none.")
    for extra in starts[1:]:
        yield Finding("two_starts", "A workflow has one start node.", extra.id)
    if not ends:
        yield Finding("no_end", "A workflow needs an end node.")
    if starts:
        reached = graph.reached_from([starts[0].id])
        for node in graph.nodes:
            if node.id not in reached:
                yield Finding("unreachable", "Nothing leads from the start to this node.", node.id)
    if cycle := graph.cycle():
        way = " → ".join([*cycle, cycle[0]])
        for id_ in cycle:
            yield Finding("cycle", f"The path {way} never ends; use a loop node.", id_)


def _node(node: Node, graph: Graph, world: World) -> Iterator[Finding]:
    type_ = NODE_TYPES.get(node.type)
    if type_ is None:
        known = ", ".join(NODE_TYPES)
        yield Finding(
            "unknown_type", f"There is no node type {node.type!r}; there are {known}.", node.id, field="/type"
        )
        return
    yield from _config(node, type_.schema())
    yield from _references(node, world, agent=type_.needs_agent, tool=type_.needs_tool)
    arriving, leaving = len(graph.into[node.id]), len(graph.out[node.id])
    if arriving < type_.fewest_in:
        yield Finding("edge_missing", f"At least {type_.fewest_in} edges lead to this node.", node.id)
    if node.type == "start" and arriving:
        yield Finding("edge_to_start", "Nothing leads back to the start.", node.id)
    if leaving < type_.fewest_out:
        what = (
            "Nothing leads on from this node."
            if not leaving
            else f"At least {type_.fewest_out} edges leave it."
        )
        yield Finding("edge_missing", what, node.id)
    if type_.most_out is not None and leaving > type_.most_out:
        yield Finding("edge_too_many", "No edge leaves this node.", node.id)
    for field in type_.templates:
        yield from _template(node, graph, field, node.config.get(field), NAMES)
    yield from _template(node, graph, "writes", node.config.get("writes"), WITH_OUTPUT)
    for field in type_.conditions:
        if isinstance(source := node.config.get(field), str):
            yield from _expression(source, node, graph, NAMES, field=f"/config/{field}")
    if node.config.get("on_error") == "route" and not any(
        edge.label == "error" for edge in graph.out[node.id]
    ):
        yield Finding(
            "no_error_route",
            "on_error: route needs an edge labelled 'error'.",
            node.id,
            field="/config/on_error",
        )
    yield from type_.check(node, graph, world)


def _config(node: Node, schema: dict[str, Any]) -> Iterator[Finding]:
    for error in Draft202012Validator(schema).iter_errors(dict(node.config)):
        path = "".join(f"/{part}" for part in error.absolute_path)
        yield Finding("bad_config", error.message[:300], node.id, field=f"/config{path}")
    for field in ("input_schema", "output_schema", "form_schema"):
        if isinstance(given := node.config.get(field), dict) and (fault := fault_of(given)):
            yield Finding("bad_schema", fault.message, node.id, field=f"/config/{field}")


def _references(node: Node, world: World, *, agent: bool, tool: bool) -> Iterator[Finding]:
    for wanted, id_, known, noun in (
        (agent, node.agent_id, world.agents, "agent"),
        (tool, node.tool_id, world.tools, "tool"),
    ):
        if not wanted:
            if id_:
                yield Finding(
                    "unexpected_field", f"A {node.type} node has no {noun}.", node.id, field=f"/{noun}_id"
                )
        elif not id_:
            yield Finding(
                f"missing_{noun}", f"Say which {noun} this node uses.", node.id, field=f"/{noun}_id"
            )
        elif known is not None and id_ not in known:
            yield Finding(f"unknown_{noun}", f"There is no {noun} {id_}.", node.id, field=f"/{noun}_id")
    tools = node.config.get("tools")
    if isinstance(tools, list) and world.tools is not None:
        for index, id_ in enumerate(tools):
            if isinstance(id_, str) and id_ not in world.tools:
                yield Finding(
                    "unknown_tool", f"There is no tool {id_}.", node.id, field=f"/config/tools/{index}"
                )


def _edges(graph: Graph) -> Iterator[Finding]:
    for edge in graph.edges:
        node = graph.by_id.get(edge.source)
        if edge.condition and node is not None:
            yield from _expression(edge.condition, node, graph, WITH_OUTPUT, edge_id=edge.id)


def _template(
    node: Node, graph: Graph, field: str, template: Any, names: frozenset[str]
) -> Iterator[Finding]:
    try:
        expressions = list(expressions_of(template))
    except ExpressionError as error:
        yield Finding("bad_template", str(error), node.id, field=f"/config/{field}")
        return
    for expression in expressions:
        yield from _paths(expression, node, graph, names, "", f"/config/{field}")


def _expression(
    source: str,
    node: Node,
    graph: Graph,
    names: frozenset[str],
    *,
    edge_id: str = "",
    field: str = "/condition",
) -> Iterator[Finding]:
    try:
        expression = parse(source)
    except ExpressionError as error:
        yield Finding("bad_condition", str(error), node.id, edge_id, field)
        return
    yield from _paths(expression, node, graph, names, edge_id, field)


def _paths(
    expression: Expression, node: Node, graph: Graph, names: frozenset[str], edge_id: str, field: str
) -> Iterator[Finding]:
    """Find names that do not exist, and nodes that cannot have ended when this one looks."""
    for path in expression.paths:
        if path[0] not in names:
            known = ", ".join(sorted(names))
            yield Finding(
                "unknown_name", f"There is no {path[0]!r}; there are {known}.", node.id, edge_id, field
            )
        elif path[0] == "nodes" and len(path) > 1:
            other = str(path[1])
            itself = other == node.id and "output" in names
            if other not in graph.by_id:
                yield Finding("unknown_node", f"There is no node {other!r}.", node.id, edge_id, field)
            elif other not in graph.ancestors[node.id] and not itself:
                yield Finding(
                    "not_an_ancestor",
                    f"{other!r} does not come before this node, so its output is not there yet.",
                    node.id,
                    edge_id,
                    field,
                )
        elif path[0] == "loop" and not graph.loops_around(node.id) and node.type != "loop":
            yield Finding("not_in_a_loop", "There is a loop only inside one.", node.id, edge_id, field)
