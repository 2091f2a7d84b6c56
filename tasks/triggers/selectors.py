"""Reads of triggers."""

from django.db.models import QuerySet

from networks.keys import digest
from web.problems import NotFound
from workflows.models import Trigger, Workflow


def triggers_of(workflow: Workflow) -> "QuerySet[Trigger]":
    """A workflow's triggers, the newest first."""
    return Trigger.objects.filter(workflow=workflow).order_by("-id")


def access_trigger_for(workflow: Workflow, trigger_id: str) -> Trigger:
    trigger = triggers_of(workflow).filter(pk=trigger_id).first()
    if trigger is None:
        raise NotFound("There is no such trigger.")
    return trigger


def trigger_by_token(token: str) -> Trigger:
    """The trigger of an address. One that is switched off is as if it were not there."""
    found = (
        Trigger.objects.filter(token_digest=digest(token), active=True, workflow__archived_at=None)
        .select_related("workflow__project")
        .first()
    )
    if found is None:
        raise NotFound("There is no such hook.")
    return found
