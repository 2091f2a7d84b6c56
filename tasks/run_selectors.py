"""Reads of runs, of workflows and of tasks alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from agents.models import ModelCall
from networks.models import ApiKey
from web.problems import NotFound

from .models import Approval, Run, RunState, Step, WaitReason
from .selectors import STATUSES

#: A run shows no more steps than these; a loop may make more.
MOST_STEPS = 2000

_APPROVAL = Q(state=RunState.WAITING, wait_reason=WaitReason.APPROVAL)
_WITH_STATUS = {
    "pending": Q(state=RunState.PENDING),
    "in_progress": Q(state__in=[RunState.RUNNING, RunState.WAITING]) & ~_APPROVAL,
    "waiting_approval": _APPROVAL,
    "completed": Q(state=RunState.SUCCEEDED),
    "failed": Q(state=RunState.FAILED),
    "cancelled": Q(state=RunState.CANCELLED),
    "canceled": Q(state=RunState.CANCELLED),
    "running": Q(state__in=[RunState.RUNNING, RunState.WAITING]) & ~_APPROVAL,
    "waiting_human": _APPROVAL,
    "succeeded": Q(state=RunState.SUCCEEDED),
}
STATUS_FILTERS = list(_WITH_STATUS)
RUN_STATUSES = [*dict.fromkeys(STATUSES.values()), "waiting_approval"]
SOURCES = ("api", "schedule", "trigger", "step", "call", "retry")

_EXACT = ("workflow_id", "task_id", "network_id", "source", "replayed_from_id", "parent_step_id")


def runs_for(key: ApiKey) -> "QuerySet[Run]":
    """The runs a key may see: its project's, or those of its networks; the newest first."""
    found = Run.objects.filter(project_id=key.project_id).order_by("-id")
    return found.filter(network_id__in=key.network_ids) if key.network_ids else found


def filtered(runs: "QuerySet[Run]", params: Mapping[str, Any]) -> "QuerySet[Run]":
    """Narrow runs by the parameters of a list; those that are not given narrow nothing."""
    for name in _EXACT:
        if name in params:
            runs = runs.filter(**{name: params[name]})
    if "status" in params:
        runs = runs.filter(_WITH_STATUS[params["status"]])
    if "created_after" in params:
        runs = runs.filter(created_at__gt=params["created_after"])
    if "created_before" in params:
        runs = runs.filter(created_at__lt=params["created_before"])
    return runs


def access_run_for(key: ApiKey, run_id: str) -> Run:
    """A run the key may see, with its input and output; else `NotFound`."""
    run = runs_for(key).filter(pk=run_id).select_related("body").first()
    if run is None:
        raise NotFound("There is no such run.")
    return run


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a run's detail shows beside the run."""

    steps: Sequence[Step]
    models: Sequence[str]
    approvals: Mapping[str, str]  # by the step that owes it


def parts_of_run(run: Run) -> RunParts:
    """A run's steps in order of their creation, the models that answered, and the approvals."""
    models = ModelCall.objects.filter(run_id=run.pk, state="succeeded").values_list("model", flat=True)
    return RunParts(
        steps_of(run),
        sorted(set(models)),
        dict(Approval.objects.filter(run=run).values_list("step_id", "pk")),
    )


def steps_of(run: Run) -> list[Step]:
    return list(Step.objects.filter(run=run).select_related("body").order_by("id")[:MOST_STEPS])
