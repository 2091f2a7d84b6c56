"""Reads of tools."""

from collections.abc import Sequence

from django.db.models import QuerySet

from networks.models import ApiKey
from web.problems import Invalid, NotFound

from .models import Tool


def tools_for(key: ApiKey) -> "QuerySet[Tool]":
    """The tools of the key's project. A key that is restricted to networks sees none."""
    found = Tool.objects.filter(project_id=key.project_id)
    return found.none() if key.network_ids else found


def access_tool_for(key: ApiKey, tool_id: str) -> Tool:
    """A tool of the caller's project, else `NotFound`."""
    tool = tools_for(key).filter(pk=tool_id).first()
    if tool is None:
        raise NotFound("There is no such tool.")
    return tool


def check_tools(project_id: str, tool_ids: Sequence[str], pointer: str = "/tools") -> None:
    """Raise `Invalid` for ids of tools that the project does not have."""
    if not tool_ids:
        return
    known = set(Tool.objects.filter(project_id=project_id, pk__in=tool_ids).values_list("pk", flat=True))
    for index, tool_id in enumerate(tool_ids):
        if tool_id not in known:
            raise Invalid(f"{pointer}/{index}", f"There is no tool {tool_id}.", "does_not_exist")
