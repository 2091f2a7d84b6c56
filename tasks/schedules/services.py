"""Writes of schedules."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from tasks.workflow_runs import refuse_workflow_without_a_caller
from web.problems import Conflict, Invalid
from workflows.cron import BadCron, BadTimezone, Cron
from workflows.models import Schedule, Workflow


def create_schedule(*, workflow: Workflow, values: Mapping[str, Any]) -> Schedule:
    """Start a workflow by the clock from now on. Raises `Invalid` for a cron or time zone that cannot be read, and
    `Problem` for a workflow that needs a caller."""
    refuse_workflow_without_a_caller(workflow)
    schedule = Schedule(project_id=workflow.project_id, workflow=workflow, **values)
    set_next(schedule)
    schedule.save()
    return schedule


@transaction.atomic
def update_schedule(*, schedule: Schedule, changes: Mapping[str, Any]) -> Schedule:
    """Change a schedule. Another cron or time zone, or switching it on again, counts from now: nothing is caught up."""
    schedule = Schedule.objects.select_for_update().get(pk=schedule.pk)
    anew = {name for name in ("cron", "timezone", "active") if changes.get(name, getattr(schedule, name))
            != getattr(schedule, name)}  # fmt: skip
    for name, value in changes.items():
        setattr(schedule, name, value)
    if anew:
        set_next(schedule)
        schedule.last_error = ""
    schedule.save()
    return schedule


def delete_schedule(*, schedule: Schedule) -> None:
    schedule.delete()


def set_next(schedule: Schedule) -> None:
    """Say when it is due next, counted from now."""
    cron = read_cron(schedule)
    if schedule.active and schedule.workflow.archived_at is not None:
        raise Conflict("conflict", "The workflow is archived.")
    schedule.next_at = cron.after(timezone.now()) if schedule.active else None


def read_cron(schedule: Schedule) -> Cron:
    """A schedule's cron. Raises `Invalid`, which names the field."""
    try:
        return Cron(schedule.cron, schedule.timezone)
    except BadCron as error:
        raise Invalid("/cron", str(error)) from None
    except BadTimezone as error:
        raise Invalid("/timezone", str(error)) from None
