"""What the templates and conditions of a workflow's node may look at, and which edges its end takes. Pure.

input       the run's input
nodes       node id → {output, status, error}; within loops of its latest round
context     what ended nodes wrote (`writes`), and last_output: that of the parent that ended last
run         id, workflow_id, version, project_id, network_id
loop        round (from 0) and last: the last output of the round before
output      the node's own, in its `writes` and the conditions of its edges
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.expressions import ExpressionError, evaluate
from workflows.expressions.parser import parse
from workflows.expressions.values import is_true
from workflows.graph import LOOP_BODY, Edge, Graph, Node
from workflows.nodes.registry import NODE_TYPES
from workflows.templates import expressions_of, render

from .graph_planner import ERROR, REJECTED, parse_key
from .ports import EndedStep, StepFailed, StepWork

Scope = Mapping[str, Any]


def node_of(work: StepWork) -> tuple[Graph, Node]:
    """The graph and the node that a workflow's step is of."""
    graph = work.snapshot.graph
    if graph is None:
        raise StepFailed("internal_error", "The run's snapshot has no graph.", final=True)
    return graph, graph.by_id[parse_key(work.key)[0]]


@dataclass(frozen=True, slots=True)
class Needs:
    """The nodes whose ends a node looks at, besides its parents."""

    nodes: frozenset[str]


def needs_of(graph: Graph, node: Node) -> Needs:
    """Find what a node's templates and conditions mention. What cannot be read will fail when it is used."""
    paths: set[tuple[str | int, ...]] = set()
    type_ = NODE_TYPES[node.type]
    try:
        for field in (*type_.templates, "writes"):
            for expression in expressions_of(node.config.get(field)):
                paths.update(expression.paths)
        conditions = [node.config.get(field) for field in type_.conditions]
        for source in (*conditions, *(edge.condition for edge in graph.out[node.id])):
            if source:
                paths.update(parse(source).paths)
    except ExpressionError:
        return Needs(graph.ancestors[node.id])
    wanted: set[str] = set()
    for path in paths:
        if path[0] == "nodes":
            wanted |= {str(path[1])} if len(path) > 1 else graph.ancestors[node.id]
    if any(path[0] == "context" for path in paths) or node.type in ("agent", "hand_over"):
        wanted |= {one for one in graph.ancestors[node.id] if graph.by_id[one].config.get("writes")}
    return Needs(frozenset(wanted - {node.id}))


def scope_of(
    graph: Graph,
    key: str,
    run: Mapping[str, Any],
    run_input: Any,
    parents: Iterable[str],
    ended: Sequence[EndedStep],
) -> dict[str, Any]:
    """Make a node's scope out of the steps that ended before it, in the order in which they ended."""
    node_id, rounds = parse_key(key)
    of_parents = frozenset(parents)
    nodes: dict[str, Any] = {
        one: {"output": None, "status": "pending", "error": None}
        for one in needs_of(graph, graph.by_id[node_id]).nodes
    }
    context: dict[str, Any] = {}
    last = None
    for step in ended:
        other = parse_key(step.key)[0]
        nodes[other] = {
            "output": step.output,
            "status": step.state,
            "error": {"code": step.error_code, "detail": step.error_detail} if step.error_code else None,
        }
        if step.writes and other in graph.ancestors[node_id]:
            context |= step.writes
        if step.id in of_parents:
            last = step.output
    scope = {
        "input": run_input,
        "nodes": nodes,
        "context": {**context, "last_output": last},
        "run": dict(run),
    }
    if rounds:
        around = graph.loops_around(node_id)
        loop = nodes.get(around[-1], {}).get("output") if around else None
        scope["loop"] = {"round": rounds[-1], "last": last if graph.by_id[node_id].type == "loop" else loop}
    return scope


def fill(template: Any, scope: Scope, where: str) -> Any:
    """Fill a template. Raises `StepFailed` (expression_error) that names the place."""
    try:
        return render(template, scope)
    except ExpressionError as error:
        raise StepFailed("expression_error", f"{where}: {error}", final=True) from None


def holds(source: str, scope: Scope, where: str) -> bool:
    """Whether a condition holds. Raises `StepFailed` (expression_error) that names the place."""
    try:
        return is_true(evaluate(source, scope))
    except ExpressionError as error:
        raise StepFailed("expression_error", f"{where}: {error}", final=True) from None


def written(node: Node, scope: Scope, output: Any) -> Mapping[str, Any] | None:
    """What a node adds to the context at its end."""
    template = node.config.get("writes")
    if not template:
        return None
    filled: Mapping[str, Any] = fill(template, {**scope, "output": output}, f"node {node.id}, writes")
    return filled


def taken_edges(
    graph: Graph, node: Node, scope: Scope, output: Any, *, rejected: bool = False
) -> tuple[str, ...]:
    """The edges that a node takes at its end, by id: those whose condition holds; of a branch the first only."""
    inside = {**scope, "output": output}
    taken = []
    for edge in graph.out[node.id]:
        if edge.label == LOOP_BODY and node.type == "loop":
            continue  # taken by the loop itself
        if edge.label == ERROR or (edge.label == REJECTED) != rejected:
            continue
        if not edge.condition or holds(edge.condition, inside, _place(edge)):
            taken.append(edge.id)
            if node.type == "branch":
                break
    return tuple(taken)


def body_edges(graph: Graph, node: Node) -> tuple[str, ...]:
    """The edges by which a loop begins a round."""
    return tuple(edge.id for edge in graph.out[node.id] if edge.label == LOOP_BODY)


def _place(edge: Edge) -> str:
    return f"edge {edge.id} from {edge.source} to {edge.target}"
