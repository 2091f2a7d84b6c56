"""What clients do to runs, of workflows and of tasks alike."""

from collections.abc import Mapping
from typing import Any

from web.problems import Conflict, Invalid

from .lifecycle import cancel_run
from .models import Run, Task
from .services import retry as retry_task
from .workflow_runs import retry_from

_TASK_INPUT = ("description", "context")


def cancel(*, run: Run, reason: str = "") -> Run:
    """End a run at once. Raises `Conflict` for one that has ended."""
    if not cancel_run(run_id=run.pk, reason=reason):
        raise Conflict("run_finished")
    run.refresh_from_db()
    return run


def retry(
    *,
    run: Run,
    from_step_id: str | None = None,
    input: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> Run:
    """Run a run again, from one of its steps if it is named, with another input if it is given.

    A task goes on from its latest run only. Raises `Conflict` while the run is not over.
    """
    if run.workflow_id is not None:
        return retry_from(run=run, from_step_id=from_step_id, input=input, request_id=request_id)
    task = Task.objects.select_related("network__project", "run").get(pk=run.task_id)
    if task.run_id != run.pk:
        raise Conflict("conflict", f"The task has a later run, {task.run_id}; retry that one.")
    for name in input or ():
        if name not in _TASK_INPUT:
            raise Invalid(f"/input/{name}", "A task's input is its description and context.", "unknown_field")
    return retry_task(task=task, from_step=from_step_id, input=input, request_id=request_id)
