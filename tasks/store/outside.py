"""Ending a workflow's step from outside the workers: what a person decided, what a caller said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.engine.executors.node import facts_of
from tasks.engine.graph_planner import parse_key
from tasks.engine.ports import EndedStep, StepFailed
from tasks.engine.scope import Scope, needs_of, scope_of, taken_edges, written
from workflows.graph import Graph, Node

from . import workflow_sql
from .finish import StepEnd
from .snapshots import Snapshots
from .work import Query, Work


@dataclass(frozen=True, slots=True)
class OutsideEnd:
    """How a step is to end. With a code it fails; `rejected` takes the edges labelled so."""

    by: str
    from_state: str
    output: Any = None
    rejected: bool = False
    why_rejected: str = ""
    error_code: str = ""
    error_detail: str = ""
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()


def ended_from_outside(
    run: Mapping[str, Any],
    run_id: str,
    run_input: Any,
    step: Mapping[str, Any],
    end: OutsideEnd,
    snapshots: Snapshots,
) -> Work[StepEnd]:
    """How the step of a locked run ends: its edges, and what it writes. A condition that cannot be read fails it."""
    common: dict[str, Any] = {
        "step_id": step["id"],
        "run_id": run_id,
        "fence": step["fence"],
        "worker": end.by,
        "from_states": (end.from_state,),
        "events": end.events,
    }
    if end.error_code:
        return StepEnd(state="failed", error_code=end.error_code, error_detail=end.error_detail, **common)
    graph, node, scope = yield from _scope(run, run_id, run_input, step, snapshots)
    try:
        taken = taken_edges(graph, node, scope, end.output, rejected=end.rejected)
        if end.rejected and not taken:
            raise StepFailed("approval_rejected", end.why_rejected)
        writes = written(node, scope, end.output)
    except StepFailed as error:
        return StepEnd(state="failed", error_code=error.code, error_detail=str(error), **common)
    return StepEnd(state="succeeded", output=end.output, taken=taken, writes=writes, **common)


def _scope(
    run: Mapping[str, Any], run_id: str, run_input: Any, step: Mapping[str, Any], snapshots: Snapshots
) -> Work[tuple[Graph, Node, Scope]]:
    views = yield from snapshots.load([run["snapshot_id"]])
    view = views[run["snapshot_id"]]
    graph: Graph | None = view.graph
    assert graph is not None
    node = graph.by_id[parse_key(step["key"])[0]]
    parameters = {"run": run_id, "nodes": list(needs_of(graph, node).nodes), "parents": step["parents"]}
    [rows] = yield (Query(workflow_sql.ENDED_STEPS, parameters),)
    facts = facts_of(run_id, run["project_id"], run["network_id"], view)
    ended = [EndedStep(**row) for row in rows]
    return graph, node, scope_of(graph, step["key"], facts, run_input, step["parents"], ended)
