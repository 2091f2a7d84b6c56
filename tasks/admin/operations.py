"""What staff can do to runs, through `tasks.lifecycle`; each act is told in the admin's log."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.contrib import messages
from django.http import HttpRequest

from tasks import lifecycle, run_services
from tasks.models import Run, Step, Task
from web.admin_site import confirm
from web.problems import Problem

Row = TypeVar("Row", Run, Task)
AT_ONCE = 200  # rows of one bulk action: each is a transaction of its own

CANCEL = confirm(
    "Cancel?",
    "The run's unfinished steps end now and its calls in flight are aborted. What was spent stays spent.",
    "Cancel the run",
)
RETRY = confirm("Run it again?", "A new run starts from the beginning; the old one is kept.", "Retry")
RETRY_FROM = confirm(
    "Run it again from here?",
    "A new run keeps what ended before this step, unpaid, and begins with it; the old one is kept.",
    "Retry",
)
REQUEUE = confirm(
    "Try now?",
    "Steps that wait for a provider or a limit become ready now instead of at their time. A person or a "
    "budget that is waited for is still waited for.",
    "Requeue",
)


def cancel(admin: Any, request: HttpRequest, runs: Iterable[Run]) -> None:
    """Cancel the runs that have not ended."""
    reason = f"Cancelled by {request.user.get_username()} in the admin."
    _each(admin, request, runs, "Cancelled.", lambda run: lifecycle.cancel_run(run_id=run.pk, reason=reason))


def requeue(admin: Any, request: HttpRequest, runs: Iterable[Run]) -> None:
    """Let the runs' waiting steps be tried now."""
    _each(admin, request, runs, "Requeued.", lambda run: lifecycle.requeue_run(run_id=run.pk) > 0)


def retry(admin: Any, request: HttpRequest, tasks: Iterable[Task]) -> list[Run]:
    """Start the tasks anew and return their new runs."""
    made: list[Run] = []

    def start(task: Task) -> bool:
        made.append(lifecycle.retry_task(task=task))
        return True

    _each(admin, request, tasks, "Retried.", start)
    return made


def retry_runs(admin: Any, request: HttpRequest, runs: Iterable[Run]) -> list[Run]:
    """Start the runs' tasks and workflows anew and return the new runs; several runs of one task make one."""
    once = {run.task_id or run.pk: run for run in runs}
    made: list[Run] = []

    def start(run: Run) -> bool:
        if run.task is not None:
            made.append(lifecycle.retry_task(task=run.task))
        else:
            made.append(run_services.retry(run=run))
        return True

    _each(admin, request, once.values(), "Retried.", start)
    return made


def retry_from(admin: Any, request: HttpRequest, step: Step) -> Run | None:
    """Start a step's run anew from the step; None when its state does not allow that."""
    try:
        made = run_services.retry(run=step.run, from_step_id=step.pk)
    except Problem as problem:
        messages.error(request, str(problem))
        return None
    admin.log_change(request, step, f"Retried from here as {made.pk}.")
    messages.success(request, f"{made.pk} has begun from here.")
    return made


def _each(
    admin: Any, request: HttpRequest, rows: Iterable[Row], done: str, act: Callable[[Row], bool]
) -> None:
    """Act on each row by itself, so that one that refuses leaves the others alone; say what happened."""
    changed = untouched = 0
    for row in rows:
        try:
            acted = act(row)
        except Problem as problem:
            messages.error(request, f"{row.pk}: {problem}")
            continue
        if acted:
            admin.log_change(request, row, done)
        changed, untouched = changed + acted, untouched + (not acted)
    if changed:
        messages.success(request, f"{done} ({changed})")
    if untouched:
        messages.info(request, f"{untouched} left as they were: their state allows nothing else.")
