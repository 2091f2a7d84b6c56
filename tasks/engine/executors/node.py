"""What all nodes of a workflow have in common: their scope before, their writes and edges after."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from workflows.graph import Graph, Node

from ..ports import SnapshotView, StepPort, StepResult, StepWork, Wait
from ..scope import fill, needs_of, node_of, scope_of, taken_edges, written


@dataclass(frozen=True)
class NodeWork:
    """A node's step with what its templates and conditions may look at."""

    step: StepWork
    graph: Graph
    node: Node
    scope: Mapping[str, Any]

    @property
    def config(self) -> Mapping[str, Any]:
        return self.node.config

    @property
    def last_output(self) -> Any:
        return self.scope["context"]["last_output"]

    def filled(self, field: str, default: Any = None) -> Any:
        """A template of the node's config, filled; raises `StepFailed` that names it."""
        template = self.config.get(field)
        return default if template is None else fill(template, self.scope, f"node {self.node.id}, {field}")


NodeExecutor = Callable[[NodeWork, StepPort], Awaitable[StepResult | Wait]]


def node_step(execute: NodeExecutor) -> Callable[[StepWork, StepPort], Awaitable[StepResult | Wait]]:
    """Make an executor of steps out of one of nodes."""

    async def execute_step(work: StepWork, port: StepPort) -> StepResult | Wait:
        graph, node = node_of(work)
        ended = await port.ended(needs_of(graph, node).nodes) if work.parents else ()
        scope = scope_of(graph, work.key, _facts(work), work.run_input, work.parents, ended)
        node_work = NodeWork(work, graph, node, scope)
        result = await execute(node_work, port)
        return concluded(node_work, result) if isinstance(result, StepResult) else result

    return execute_step


def concluded(work: NodeWork, result: StepResult) -> StepResult:
    """A node's result with the edges that it takes and what it writes."""
    taken = result.taken or taken_edges(work.graph, work.node, work.scope, result.output)
    return replace(result, taken=taken, writes=written(work.node, work.scope, result.output))


def _facts(work: StepWork) -> Mapping[str, Any]:
    return facts_of(work.run_id, work.project_id, work.network_id, work.snapshot)


def facts_of(
    run_id: str, project_id: str, network_id: str | None, snapshot: SnapshotView
) -> Mapping[str, Any]:
    """What expressions may know of the run itself."""
    return {
        "id": run_id,
        "project_id": project_id,
        "network_id": network_id or None,
        "workflow_id": snapshot.workflow.get("id"),
        "version": snapshot.workflow.get("version"),
    }
