"""Starting and repeating runs of workflows."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction

from networks.models import Network, Project
from tasks.engine.executor import STEP_VERSION
from tasks.engine.planner import RunView
from tasks.engine.planners import PLANNERS
from tasks.engine.ports import SnapshotView
from web.ids import new_id
from web.jsonschemas import problems_of
from web.problems import Conflict, Invalid
from workflows.findings import Finding
from workflows.graph import Graph
from workflows.models import Workflow, WorkflowVersion
from workflows.nodes.registry import needs_a_caller
from workflows.parsing import parse_graph
from workflows.problems import invalid_graph
from workflows.services import revalidate

from .lifecycle import TERMINAL, as_json, publish_ready
from .models import Run, RunState, StepState
from .notices import publish_notice
from .replay import plan_graph_replay
from .starting import NEW_WORKFLOW_RUN
from .store import sql
from .store.growth import Growth
from .store.passing import Passing
from .store.planning import Plan, begin, plan_on
from .workflow_snapshot import take_workflow_snapshot

MAX_PARALLEL_STEPS = 32


@transaction.atomic
def start_workflow_run(
    *,
    project: Project,
    version: WorkflowVersion,
    input: Mapping[str, Any],
    source: str = "api",
    network: Network | None = None,
    parent_step_id: str | None = None,
    priority: int = 1,
    timeout_seconds: float | None = None,
    request_id: str = "",
) -> Run:
    """Start a version of a workflow; its first step is hinted to the workers after commit.

    `network` lends its shared memory. Raises `Invalid` for an input that the start node's schema refuses, `Problem`
    (invalid_workflow) for a version that cannot be run any more.
    """
    if not version.valid:
        raise invalid_graph(version.findings)
    revalidate(version, project)  # what it names may have been deleted
    if not version.valid:
        raise invalid_graph(version.findings)
    graph, _ = parse_graph(version.graph)
    if source != "call":
        refuse_without_a_caller(graph)
    start = graph.of_type("start")[0]
    if (schema := start.config.get("input_schema")) and (problems := problems_of(dict(input), schema)):
        raise Invalid("/input", "; ".join(problems)[:1000], "invalid")
    snapshot = take_workflow_snapshot(project, version, network)
    run_id = new_id("run")
    plan = _first_steps(run_id, project, network, graph, snapshot.body, input)
    return _begin(
        Run(
            id=run_id,
            project=project,
            network=network,
            workflow_id=version.workflow_id,
            workflow_version=version.number,
            parent_step_id=parent_step_id or "",
            source=source,
            planner="graph",
            snapshot_id=snapshot.hash,
            state=RunState.RUNNING,
            priority=priority,
            max_iterations=1,
            max_parallel_steps=MAX_PARALLEL_STEPS,
            request_id=request_id,
        ),
        snapshot.body,
        input,
        plan.rows,
        timeout_seconds=timeout_seconds,
        told=plan.told,
    )


def refuse_without_a_caller(graph: Graph) -> None:
    """Raise `Problem` (invalid_workflow) for a graph that speaks with a caller: only a call can run it."""
    if nodes := needs_a_caller(graph):
        what = "It speaks with a caller: name the workflow in a call's config (`dialog`), nothing else can run it."
        raise invalid_graph([Finding("needs_a_caller", what, node).as_json() for node in nodes])


def refuse_workflow_without_a_caller(workflow: Workflow) -> None:
    """The same for a workflow, before something is made that would start it."""
    number = workflow.published or workflow.latest
    version = WorkflowVersion.objects.filter(workflow=workflow, number=number).first()
    if version is not None:
        refuse_without_a_caller(parse_graph(version.graph)[0])


def _first_steps(
    run_id: str,
    project: Project,
    network: Network | None,
    graph: Graph,
    snapshot: Mapping[str, Any],
    input: Mapping[str, Any],
) -> Plan:
    """The steps a run begins with: those that wait for a worker, and those before that do nothing themselves."""
    planner = PLANNERS["graph"]
    run = {
        "project_id": project.pk,
        "network_id": network.pk if network else None,
        "max_iterations": 1,
        "max_parallel_steps": MAX_PARALLEL_STEPS,
        "seconds_left": None,
    }
    first = planner.first(RunView(run_id, 1, graph=graph), input)
    view = SnapshotView(network={}, agents={}, graph=graph, workflow=snapshot["workflow"])
    begun = begin(planner, run, run_id, first, Passing(run_id, run, view, given=input, fresh=True), graph)
    if begun is not None:
        return begun
    alone = Growth(())  # it would be over before it began: leave that to a worker
    alone.take(first)
    return plan_on(run, alone)


@transaction.atomic
def retry_from(
    *,
    run: Run,
    from_step_id: str | None = None,
    input: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> Run:
    """Run a workflow's run again as a new one of the same version, linked by `replayed_from`.

    From a step, all that ended before it is reused and not paid again; without one it begins anew. `input` replaces
    the run's input. Raises `Conflict` while the run is not over, `NotFound` for a step that is not of it.
    """
    old = Run.objects.select_for_update(of=("self",)).select_related("body", "snapshot").get(pk=run.pk)
    if old.state not in TERMINAL:
        raise Conflict("conflict", "The run is still going on; cancel it first.")
    refuse_without_a_caller(parse_graph(old.snapshot.body["graph"])[0])
    replay = plan_graph_replay(old, from_step_id)
    given = old.body.input if input is None else input
    return _begin(
        Run(
            id=new_id("run"),
            project_id=old.project_id,
            network_id=old.network_id,
            workflow_id=old.workflow_id,
            workflow_version=old.workflow_version,
            source="retry",
            planner="graph",
            snapshot_id=old.snapshot_id,
            state=RunState.RUNNING,
            priority=old.priority,
            max_iterations=old.max_iterations,
            max_parallel_steps=old.max_parallel_steps,
            replayed_from=old,
            request_id=request_id,
        ),
        old.snapshot.body,
        given,
        replay.rows(),
        told=replay.events,
    )


def _begin(
    run: Run,
    snapshot: Mapping[str, Any],
    input: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    *,
    timeout_seconds: float | None = None,
    told: Sequence[tuple[str, str | None, Mapping[str, Any]]] = (),
) -> Run:
    started = {
        "workflow_id": run.workflow_id,
        "version": run.workflow_version,
        "source": run.source,
        "replayed_from": run.replayed_from_id,
        "parent_step_id": run.parent_step_id or None,
    }
    events = [("run.started", None, started), *told]
    NEW_WORKFLOW_RUN.rows(
        {
            "run": run.pk,
            "project": run.project_id,
            "network": run.network_id,
            "task": None,
            "planner": run.planner,
            "workflow": run.workflow_id,
            "workflow_version": run.workflow_version,
            "parent_step": run.parent_step_id or None,
            "source": run.source,
            "snapshot": run.snapshot_id,
            "snapshot_body": as_json(snapshot),
            "priority": run.priority,
            "priority_seconds": run.priority * sql.PRIORITY_SECONDS,
            "iterations": 1,
            "max_iterations": run.max_iterations,
            "max_parallel": run.max_parallel_steps,
            "timeout": timeout_seconds,
            "deadline": None,
            "replayed_from": run.replayed_from_id,
            "request_id": run.request_id,
            "version": STEP_VERSION,
            "input": as_json(input),
            "steps": as_json(rows),
            "events": as_json(
                [
                    {"type": type_, "step_id": step_id, "payload": payload}
                    for type_, step_id, payload in events
                ]
            ),
        }
    )
    publish_ready(run.pk, [(row["kind"], row["id"]) for row in rows if row["state"] == StepState.READY])
    transaction.on_commit(partial(publish_notice, run.pk))
    return run
