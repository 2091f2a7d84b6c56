"""What clients do with tasks and networks. Running them is `tasks.lifecycle`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents.models import Agent
from agents.services import ensure_coordinator
from memory.models import MemoryItem, MemoryType
from memory.services import remember
from networks.models import ApiKey, Network
from web.jsonschemas import fault_of
from web.problems import Conflict, Invalid, NotAvailable
from web.strictjson import escape

from .lifecycle import TERMINAL, cancel_run, retry_task, start_new_task, start_run, store_new_task
from .models import Run, Task

MAX_SCHEMA = 32 * 1024


def create_task(
    *,
    network: Network,
    description: str,
    context: Mapping[str, Any] | None = None,
    priority: int = 1,
    deadline: datetime | None = None,
    output_schema: Mapping[str, Any] | None = None,
    process: bool = False,
    request_id: str = "",
    parent_step_id: str | None = None,
) -> Task:
    """Give a network a task, and start it at once when `process` says so; then `parent_step_id` may wait for it."""
    if network.status == Network.Status.ARCHIVED:
        raise Conflict("network_archived")
    if deadline is not None and deadline <= timezone.now():
        raise Invalid("/deadline", "Must be in the future.", "past")
    if output_schema is not None:
        check_output_schema(output_schema)
    task = Task(
        project_id=network.project_id,
        network=network,
        description=description,
        context=dict(context or {}),
        priority=priority,
        deadline=deadline,
        output_schema=output_schema,
        request_id=request_id,
        created_at=timezone.now(),
    )
    # One statement and no transaction either way: the most frequent writes of clients.
    if process:
        task.run = _with_coordinator(
            network, lambda: start_new_task(task=task, request_id=request_id, parent_step_id=parent_step_id)
        )
    else:
        store_new_task(task=task)
    return task


@transaction.atomic
def process_task(*, task: Task, retry: bool = False, request_id: str = "") -> Run:
    """Start a task. One that is running answers with its run; one that has ended runs again only on `retry`."""
    again = retry and task.run is not None and task.run.state in TERMINAL
    start = retry_task if again else start_run
    return _with_coordinator(task.network, lambda: start(task=task, request_id=request_id))


@transaction.atomic
def retry(*, task: Task, from_step: str | None, input: Mapping[str, Any] | None, request_id: str = "") -> Run:
    """Run a task again, from one of its latest run's steps if it is named, with changed input if it is given."""
    return _with_coordinator(
        task.network,
        lambda: retry_task(task=task, from_step=from_step, input=input, request_id=request_id),
    )


@transaction.atomic
def cancel_task(*, task: Task, reason: str = "", request_id: str = "") -> Run:
    """End a task's run. A task that was never started gets a run that ends before it begins."""
    locked = Task.objects.select_for_update(of=("self",)).select_related("run").get(pk=task.pk)
    run = locked.run
    if run is None:
        run = _with_coordinator(task.network, lambda: start_run(task=task, request_id=request_id))
    if not cancel_run(run_id=run.pk, reason=reason):
        raise Conflict("task_finished")
    return run


def give_feedback(*, task: Task, key: ApiKey, rating: int, comment: str = "") -> MemoryItem:
    """Keep what people thought of a result as feedback memory, which agents recall."""
    about = task.description if len(task.description) <= 200 else f"{task.description[:199]}…"
    content = f"Feedback on the task “{about}”: rated {rating} of 5."
    return remember(
        network=task.network,
        content=f"{content} {comment}".strip(),
        type=MemoryType.FEEDBACK,
        metadata={"task_id": task.pk, "rating": rating, "comment": comment},
        source=MemoryItem.Source.FEEDBACK,
        source_key_id=key.pk,
        source_run_id=task.run_id or "",
    )


@transaction.atomic
def delete_network(*, network: Network) -> None:
    """Cancel what a network is doing, then delete it with all that is in it. The model call ledger stays."""
    # Runs before the network, as workers lock them: they hold a run when they write its memory.
    _cancel_all(network)
    Network.objects.select_for_update().get(pk=network.pk)  # new tasks wait for this and find no network
    _cancel_all(network)  # what was started meanwhile
    network.delete()


def check_coordinator_may_go(network: Network) -> None:
    """Raise `Conflict` while the network has work in flight, which needs its coordinator."""
    if _unfinished_runs(network).exists():
        raise Conflict("coordinator_busy")


def check_output_schema(schema: Mapping[str, Any]) -> None:
    """Raise `Invalid` unless results can be checked against this schema, without fetching anything for it."""
    fault = fault_of(schema)
    if fault is None:
        return
    pointer = "/output_schema" + "".join(f"/{escape(part)}" for part in fault.path)
    if fault.code == "not_available":
        raise NotAvailable(pointer, fault.message)
    raise Invalid(pointer, fault.message, fault.code)


def _with_coordinator(network: Network, start: Callable[[], Run]) -> Run:
    """Start a run; a network whose coordinator was removed gets the default one to work with."""
    try:
        return start()
    except Agent.DoesNotExist:
        ensure_coordinator(network=network)
        return start()


def _cancel_all(network: Network) -> None:
    for run_id in _unfinished_runs(network).values_list("pk", flat=True):
        cancel_run(run_id=run_id, reason="The network was deleted.")


def _unfinished_runs(network: Network) -> Any:
    return Run.objects.filter(network=network).exclude(state__in=TERMINAL)
