"""Runs that lead a telephone call: a workflow says what is said and asked, and the call tells what came of it.

A prompt waits in the database as a step that needs the caller; the process that has the call reads it, does it and
answers, once: a late or second answer is refused. What follows and needs nobody is done in the same transaction, so
the next prompt is usually in the answer's own.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connection, transaction

from networks.models import Network, Project
from web.problems import Conflict, NotFound
from workflows.models import Workflow
from workflows.selectors import access_version_for

from . import metrics
from .lifecycle import TERMINAL, cancel_run, publish_ready
from .models import Event, Run, Step, StepState
from .notices import publish_notice
from .store.advancing import Advanced, advancing
from .store.answering import REASON, CallerSaid, NotAwaited, answering
from .store.snapshots import Snapshots
from .store.work import T, Work, perform_here
from .workflow_runs import start_workflow_run

__all__ = [
    "CallerSaid",
    "DialogEvent",
    "DialogState",
    "NotAwaited",
    "Prompt",
    "answer",
    "leave",
    "look",
    "start",
]

MOST_EVENTS = 500

_kept = threading.local()  # what was read of runs' snapshots, by each thread for itself
_WAITING = Step.objects.filter(state=StepState.WAITING, wait_reason=REASON).select_related("body")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the call is to do now. `kind` is the node's type: say, ask, hand_over."""

    step_id: str
    fence: int
    key: str
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DialogEvent:
    """A line of the run's log."""

    seq: int
    type: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DialogState:
    """Where a run stands for its call. Without a prompt it is busy, or over. `events` are those that were asked for."""

    run_id: str
    state: str
    prompt: Prompt | None = None
    error_code: str = ""
    error_detail: str = ""
    events: Sequence[DialogEvent] = ()

    @property
    def over(self) -> bool:
        return self.state in TERMINAL


@transaction.atomic
def start(
    *,
    project: Project,
    workflow_id: str,
    input: Mapping[str, Any],
    network: Network | None = None,
    timeout_seconds: float | None = None,
    request_id: str = "",
) -> DialogState:
    """Start the published version of a workflow for a call, as far as it needs nobody.

    Raises `NotFound` for a workflow that is not there, `Conflict` for one that is not published, and what
    `start_workflow_run` raises.
    """
    workflow = Workflow.objects.filter(pk=workflow_id, project=project, archived_at=None).first()
    if workflow is None:
        raise NotFound("There is no such workflow.")
    if workflow.published is None:
        raise Conflict("conflict", "The workflow is not published.")
    run = start_workflow_run(
        project=project,
        version=access_version_for(workflow, workflow.published),
        input=input,
        source="call",
        network=network,
        timeout_seconds=timeout_seconds,
        request_id=request_id,
    )
    ready = Step.objects.filter(run=run, state=StepState.READY).order_by("id").values_list("kind", "id")
    _advanced(run.pk, _perform(advancing(run.pk, list(ready), _snapshots())))
    return look(run_id=run.pk)


@transaction.atomic
def answer(*, run_id: str, said: CallerSaid, after: int = 0) -> DialogState:
    """End the step that waits for the caller, and go on. Raises `NotAwaited` when it does not wait (any more)."""
    _advanced(run_id, _perform(answering(run_id, said, _snapshots())))
    return look(run_id=run_id, after=after)


def leave(*, run_id: str, reason: str, after: int = 0) -> DialogState:
    """The caller is gone: cancel the run, unless it is over."""
    cancel_run(run_id=run_id, reason=reason)
    return look(run_id=run_id, after=after)


def look(*, run_id: str, after: int = 0) -> DialogState:
    """Where a run stands, with its events after number `after`."""
    run = Run.objects.filter(pk=run_id).values_list("state", "error_code", "error_detail").first()
    if run is None:
        raise NotFound("There is no such run.")
    state, error_code, error_detail = run
    step = None if state in TERMINAL else _WAITING.filter(run_id=run_id).order_by("id").first()
    events = Event.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")[:MOST_EVENTS]
    return DialogState(
        run_id=run_id,
        state=state,
        prompt=None if step is None else Prompt(step.pk, step.fence, step.key, step.kind, step.body.input),
        error_code=error_code,
        error_detail=error_detail,
        events=tuple(DialogEvent(event.seq, event.type, event.payload) for event in events),
    )


def callers_awaited() -> list[str]:
    """The runs that wait for a caller."""
    return list(_WAITING.select_related(None).order_by("run_id").values_list("run_id", flat=True).distinct())


def is_published(*, project: Project, workflow_id: str) -> bool | None:
    """Whether a project's workflow can lead a call; None when there is no such workflow."""
    workflow = Workflow.objects.filter(pk=workflow_id, project=project, archived_at=None).first()
    return None if workflow is None else workflow.published is not None


def _advanced(run_id: str, advanced: Advanced) -> None:
    publish_ready(run_id, advanced.left)
    ended = advanced.end
    transaction.on_commit(partial(publish_notice, run_id, ended=ended is not None))
    if ended is not None:
        metrics.run_finished(ended.run_state, ended.planner, ended.run_seconds)


def _snapshots() -> Snapshots:
    if not hasattr(_kept, "snapshots"):
        _kept.snapshots = Snapshots(kept=32)
    snapshots: Snapshots = _kept.snapshots
    return snapshots


def _perform(work: Work[T]) -> T:
    with connection.wrap_database_errors:
        return perform_here(connection.connection, work)
