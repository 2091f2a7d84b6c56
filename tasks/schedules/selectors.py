"""Reads of schedules."""

from django.db.models import QuerySet

from networks.models import ApiKey
from web.problems import NotFound
from workflows.models import Schedule


def schedules_for(key: ApiKey) -> "QuerySet[Schedule]":
    """The schedules of the key's project; a key restricted to networks sees none, as it sees no workflows."""
    found = Schedule.objects.filter(project_id=key.project_id).order_by("-id")
    return found.none() if key.network_ids else found


def access_schedule_for(key: ApiKey, schedule_id: str) -> Schedule:
    schedule = schedules_for(key).filter(pk=schedule_id).select_related("workflow").first()
    if schedule is None:
        raise NotFound("There is no such schedule.")
    return schedule
