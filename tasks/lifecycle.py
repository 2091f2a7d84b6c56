"""Starting, cancelling and retrying runs: what people and clients do to them from outside the engine."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from tasks.engine.delegation import DelegationPlanner
from tasks.engine.executor import STEP_VERSION
from tasks.engine.planner import RunView
from web.ids import new_id
from web.problems import Conflict
from web.statements import Statement

from . import metrics
from .models import Run, RunState, Step, StepState, Task
from .notices import publish_notice
from .replay import Replay, plan_replay
from .snapshot import take_snapshot
from .starting import NEW_RUN, NEW_TASK, NEW_TASK_AND_RUN
from .store import sql
from .worker import hints

TERMINAL = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


@transaction.atomic
def start_run(*, task: Task, request_id: str = "") -> Run:
    """Start a task: a new run with its first step ready, hinted to the workers after commit.

    A task whose latest run has not ended answers with that run. Raises `Conflict` when the network is not
    active or its last run has ended (see `retry_task`).
    """
    locked = _lock(task)
    if locked.run is not None:
        if locked.run.state not in TERMINAL:
            return locked.run
        raise Conflict("task_finished", 'The task has ended. Send {"retry": true} to run it again.')
    return _begin(locked, request_id=request_id)


def store_new_task(*, task: Task) -> None:
    """Write a task that is not to be started."""
    NEW_TASK.rows({**_task_parameters(task), "run": None})
    _stored(task)


def start_new_task(*, task: Task, request_id: str = "", parent_step_id: str | None = None) -> Run:
    """Write a task together with its first run; `parent_step_id` is the step that waits for it."""
    run = _begin(task, request_id=request_id, statement=NEW_TASK_AND_RUN, parent_step_id=parent_step_id)
    _stored(task)
    return run


@transaction.atomic
def retry_task(
    *, task: Task, from_step: str | None = None, input: Mapping[str, Any] | None = None, request_id: str = ""
) -> Run:
    """Run a task again as a new run, linked to the old one by `replayed_from`.

    With `from_step` (a step's id) everything that was created before that step is reused and not paid
    again. `input` replaces fields of the run's input (description, context). Raises `Conflict` while the
    task is still running, `NotFound` for a step that is not of its latest run.
    """
    locked = _lock(task)
    old = locked.run
    if old is not None and old.state not in TERMINAL:
        raise Conflict("task_not_finished", "The task is still running; cancel it first.")
    replay = plan_replay(old, from_step) if from_step else None
    return _begin(locked, request_id=request_id, replayed_from=old, changed_input=input, replay=replay)


def cancel_run(*, run_id: str, reason: str = "") -> bool:
    """End a run at once; False when it had ended already. Calls in flight are aborted within a second."""
    detail = reason or "Cancelled by request."
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.HOLD_RUN, {"run": run_id})
        cursor.execute(
            sql.END_RUN,
            {
                "run": run_id,
                "state": RunState.CANCELLED,
                "code": "cancelled",
                "detail": detail[:1000],
                "event": "run.cancelled",
                "payload": as_json({"reason": detail[:500]}),
            },
        )
        ended = cursor.fetchone()
        if ended is not None:
            transaction.on_commit(lambda: publish_notice(run_id, ended=True))
            transaction.on_commit(lambda: metrics.run_finished("cancelled", ended[0], ended[1] or 0.0))
            transaction.on_commit(lambda: _cancel_children(run_id))
    return ended is not None


def _cancel_children(run_id: str) -> None:
    """Cancel the runs that this one's steps waited for; what is missed here the sweeper finds."""
    steps = Step.objects.filter(run_id=run_id, kind="task").values_list("id", flat=True)
    children = Run.objects.filter(parent_step_id__in=list(steps)).exclude(state__in=TERMINAL)
    for child in children.values_list("pk", flat=True):
        cancel_run(run_id=child, reason="The workflow that asked for it was cancelled.")


@transaction.atomic
def requeue_run(*, run_id: str) -> int:
    """Put a run's waiting steps back into the queue now instead of when their wait is over; return how many."""
    Run.objects.select_for_update().only("id").filter(pk=run_id).first()  # run before steps, as everywhere
    steps = Step.objects.filter(
        run_id=run_id, state=StepState.WAITING, run__state__in=(RunState.RUNNING, RunState.WAITING)
    )
    woken = list(steps.exclude(wait_reason__in=("budget", "caller")).values_list("kind", "id"))
    Step.objects.filter(id__in=[id_ for _, id_ in woken]).update(
        state=StepState.READY, ready_at=timezone.now(), run_after=None
    )
    publish_ready(run_id, woken)
    return len(woken)


def _lock(task: Task) -> Task:
    """Lock the task. Its run is read after that, by a statement of its own: a join would show the run of before."""
    Task.objects.select_for_update().only("id").get(pk=task.pk)
    return Task.objects.select_related("run", "network__project").get(pk=task.pk)


def _begin(
    task: Task,
    *,
    request_id: str,
    replayed_from: Run | None = None,
    changed_input: Mapping[str, Any] | None = None,
    replay: Replay | None = None,
    statement: Statement = NEW_RUN,
    parent_step_id: str | None = None,
) -> Run:
    network = task.network
    if network.status != network.Status.ACTIVE:
        raise Conflict(f"network_{network.status}", f"The network is {network.status}.")
    snapshot = take_snapshot(network)
    run_input = {
        "task_id": task.id,
        "coordinator_id": snapshot.coordinator_id,
        "description": task.description,
        "context": task.context,
        "priority": task.priority,
        "output_schema": task.output_schema,
        **(changed_input or {}),
    }
    run_id = new_id("run")
    rows = replay.rows() if replay else _first_steps(run_id, network.max_iterations, run_input)
    started = {
        "task_id": task.id,
        "network_id": network.id,
        "replayed_from": replayed_from.id if replayed_from else None,
    }
    told = [("run.started", None, started), *(replay.events if replay else ())]
    statement.rows(
        {
            **_task_parameters(task),
            "run": run_id,
            "snapshot": snapshot.hash,
            "snapshot_body": as_json(snapshot.body),
            "priority_seconds": task.priority * sql.PRIORITY_SECONDS,
            "iterations": replay.iteration if replay else 1,
            "max_iterations": network.max_iterations,
            "max_parallel": network.max_parallel_steps,
            "timeout": network.timeout_seconds,
            "replayed_from": replayed_from.id if replayed_from else None,
            "request_id": request_id,
            "planner": "delegation",
            "workflow": None,
            "workflow_version": None,
            "parent_step": parent_step_id,
            "source": "step" if parent_step_id else "",
            "version": STEP_VERSION,
            "input": as_json(run_input),
            "steps": as_json(rows),
            "events": as_json(
                [{"type": type_, "step_id": step_id, "payload": payload} for type_, step_id, payload in told]
            ),
        }
    )
    publish_ready(run_id, [(row["kind"], row["id"]) for row in rows if row["state"] == StepState.READY])
    transaction.on_commit(lambda: publish_notice(run_id))
    run = Run(
        id=run_id,
        project_id=task.project_id,
        network=network,
        task=task,
        snapshot_id=snapshot.hash,
        state=RunState.RUNNING,
        priority=task.priority,
        max_iterations=network.max_iterations,
        replayed_from=replayed_from,
    )
    task.run = run
    return run


def _first_steps(run_id: str, max_iterations: int, run_input: Mapping[str, Any]) -> list[dict[str, Any]]:
    plan = DelegationPlanner().first(RunView(run_id, max_iterations), run_input)
    return [
        {
            "id": new_id("step"),
            "key": step.key,
            "kind": step.kind,
            "label": step.label,
            "agent_id": step.agent_id,
            "round": step.round,
            "required": step.required,
            "parents": [],
            "state": StepState.READY,
            "error_code": "",
            "error_detail": "",
            "input": step.input,
        }
        for step in plan.steps
    ]


def _task_parameters(task: Task) -> dict[str, Any]:
    return {
        "task": task.id,
        "project": task.project_id,
        "network": task.network_id,
        "description": task.description,
        "context": Jsonb(task.context),
        "priority": task.priority,
        "deadline": task.deadline,
        "schema": None if task.output_schema is None else Jsonb(task.output_schema),
        "request_id": task.request_id,
        "created_at": task.created_at,
    }


def _stored(task: Task) -> None:
    task._state.adding, task._state.db = False, connection.alias


def publish_ready(run_id: str, steps: Sequence[tuple[str, str]]) -> None:
    """Hint that these steps, (kind, id), are ready, once this transaction is committed."""
    for kind, step_id in steps:
        transaction.on_commit(partial(_hint, kind, step_id, run_id))


def _hint(kind: str, step_id: str, run_id: str) -> None:
    hints.publish(kind, step_id, run_id)


def as_json(value: Any) -> Any:
    """A JSON parameter, written fast."""
    return Jsonb(value, dumps=orjson.dumps)
