"""Starts what is due, in every worker process.

A schedule's row is locked while its runs are started and its next time is written, all in one transaction: of
two workers one starts them, and of a worker that dies nothing remains.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import DatabaseError, transaction
from django.utils import timezone
from psycopg_pool import AsyncConnectionPool

from tasks.due import DueJob
from tasks.store.pool import Connection
from tasks.workflow_runs import start_workflow_run
from web.problems import Problem
from workflows.cron import BadCron, BadTimezone, Cron
from workflows.models import Schedule
from workflows.selectors import version_to_run

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
MOST_CAUGHT_UP: Final = 100
#: What is later than this was missed: the policy says what becomes of it.
MISSED: Final = timedelta(minutes=1)

_DUE: Final = "SELECT EXISTS (SELECT 1 FROM workflows_schedule WHERE active AND next_at <= now())"


def scheduler(pool: AsyncConnectionPool[Connection]) -> DueJob:
    """Return the job that starts them."""
    return DueJob(pool, what="schedules", question=_DUE, work=start_due, poll_seconds=POLL_SECONDS)


def start_due() -> int:
    """Start every schedule that is due and that no other worker has in hand; return how many runs began."""
    started, seen = 0, set[str]()
    while True:
        with transaction.atomic():
            due = Schedule.objects.select_for_update(skip_locked=True, of=("self",)).filter(
                active=True, next_at__lte=timezone.now()
            )
            schedule = (
                due.exclude(pk__in=seen).select_related("workflow__project").order_by("next_at").first()
            )
            if schedule is None:
                return started
            seen.add(schedule.pk)
            started += _start(schedule, timezone.now())


def _start(schedule: Schedule, now: datetime) -> int:
    """Start one schedule's runs and say when it is due next; what goes wrong is kept on the row."""
    started = 0
    schedule.last_error = ""
    try:
        cron = Cron(schedule.cron, schedule.timezone)
        for due in _to_start(schedule, cron, now):
            schedule.last_run_id = _start_run(schedule, due)
            schedule.last_at = due
            started += 1
        schedule.next_at = cron.after(now)
    except (BadCron, BadTimezone) as error:  # a time zone may have left the database of the machine
        schedule.active, schedule.next_at, schedule.last_error = False, None, str(error)[:500]
    except Problem as problem:
        schedule.last_error, schedule.next_at = f"{problem.code}: {problem.detail}"[:500], cron.after(now)
    except DatabaseError:
        raise
    except Exception as error:
        log.exception("a schedule's run could not be started", schedule=schedule.pk)
        schedule.last_error, schedule.next_at = f"internal_error: {error}"[:500], cron.after(now)
    if schedule.last_error:
        log.warning("a schedule did not start its run", schedule=schedule.pk, error=schedule.last_error)
    Schedule.objects.filter(pk=schedule.pk).update(  # not `save`: the history is of what people change
        active=schedule.active,
        next_at=schedule.next_at,
        last_at=schedule.last_at,
        last_run_id=schedule.last_run_id,
        last_error=schedule.last_error,
    )
    return started


def _to_start(schedule: Schedule, cron: Cron, now: datetime) -> list[datetime]:
    """The due times that get a run, by the catch-up policy."""
    assert schedule.next_at is not None
    due = cron.between(schedule.next_at, now, MOST_CAUGHT_UP)
    match schedule.catch_up:
        case Schedule.CatchUp.ALL:
            return due
        case Schedule.CatchUp.ONCE:
            return due[-1:]
    return [moment for moment in due if moment > now - MISSED]


def _start_run(schedule: Schedule, due: datetime) -> str:
    workflow = schedule.workflow
    with transaction.atomic():
        run = start_workflow_run(
            project=workflow.project,
            version=version_to_run(workflow),
            input=schedule.input,
            source="schedule",
            request_id=f"{schedule.pk}@{due:%Y-%m-%dT%H:%MZ}",
        )
    return run.pk
