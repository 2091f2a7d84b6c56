"""Reads of approvals."""

from django.db.models import QuerySet

from networks.models import ApiKey
from tasks.models import Approval
from web.problems import NotFound


def approvals_for(key: ApiKey) -> "QuerySet[Approval]":
    """The approvals of the runs that a key may see, the newest first."""
    found = Approval.objects.filter(project_id=key.project_id).select_related("run", "step").order_by("-id")
    return found.filter(run__network_id__in=key.network_ids) if key.network_ids else found


def access_approval_for(key: ApiKey, approval_id: str) -> Approval:
    approval = approvals_for(key).filter(pk=approval_id).first()
    if approval is None:
        raise NotFound("There is no such approval.")
    return approval


def access_approval_of_step_for(key: ApiKey, step_id: str) -> Approval:
    """What a step waits for. Raises `NotFound` for a step that waits for nobody."""
    approval = approvals_for(key).filter(step_id=step_id).first()
    if approval is None:
        raise NotFound("There is no such step that waits for a person.")
    return approval


def approval_with_all(approval_id: str) -> Approval | None:
    """An approval with its run, workflow and step, for pages and letters."""
    found = Approval.objects.select_related("run__workflow", "run__task", "step", "project")
    return found.filter(pk=approval_id).first()
