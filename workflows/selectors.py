"""Reads of workflows and their versions."""

from collections.abc import Mapping
from typing import Any, Final

from django.db.models import QuerySet

from agents.models import Agent, Tool
from networks.models import ApiKey, Member, Network, Project
from web.problems import NotFound
from web.statements import Statement

from .interchange import Names
from .models import Workflow, WorkflowVersion
from .nodes.base import World
from .problems import invalid_graph

LONGEST_NAME: Final = 254  # an e-mail address; ids are shorter


def workflows_for(key: ApiKey) -> "QuerySet[Workflow]":
    """The workflows of the key's project. A key that is restricted to networks sees none: they span networks."""
    found = Workflow.objects.filter(project_id=key.project_id, archived_at=None)
    return found.none() if key.network_ids else found


def access_workflow_for(key: ApiKey, workflow_id: str) -> Workflow:
    """A workflow of the caller's project, else `NotFound`."""
    workflow = workflows_for(key).select_related("project").filter(pk=workflow_id).first()
    if workflow is None:
        raise NotFound("There is no such workflow.")
    return workflow


def versions_of(workflow: Workflow) -> "QuerySet[WorkflowVersion]":
    return WorkflowVersion.objects.filter(workflow=workflow).order_by("-number")


def access_version_for(workflow: Workflow, number: int) -> WorkflowVersion:
    version = versions_of(workflow).filter(number=number).first()
    if version is None:
        raise NotFound(f"The workflow has no version {number}.")
    return version


def latest_version(workflow: Workflow) -> WorkflowVersion:
    return access_version_for(workflow, workflow.latest)


def version_to_run(workflow: Workflow, number: int | None = None) -> WorkflowVersion:
    """The version named, else the published one, else the latest that is valid.

    Raises `Problem` (invalid_workflow) with every finding when that version cannot be run.
    """
    if number is not None:
        version = access_version_for(workflow, number)
    elif workflow.published is not None:
        version = access_version_for(workflow, workflow.published)
    else:
        version = versions_of(workflow).filter(valid=True).first() or latest_version(workflow)
    if not version.valid:
        raise invalid_graph(version.findings)
    return version


_NAMED = Statement("""
SELECT 'agent', id FROM agents_agent WHERE project_id = %(project)s::text AND id = ANY(%(texts)s::text[])
UNION ALL
SELECT 'tool', id FROM agents_tool WHERE project_id = %(project)s::text AND id = ANY(%(texts)s::text[])
UNION ALL
SELECT 'network', id FROM networks_network WHERE project_id = %(project)s::text AND id = ANY(%(texts)s::text[])
UNION ALL
SELECT 'person', email FROM networks_member WHERE project_id = %(project)s::text AND email = ANY(%(texts)s::text[])
""")


def world_of(project: Project, body: Any) -> World:
    """What there is in a project of all that a graph may refer to."""
    found: dict[str, set[str]] = {"agent": set(), "tool": set(), "network": set(), "person": set()}
    texts = [text for text in _texts_in(body) if len(text) <= LONGEST_NAME and text.isprintable()]
    for kind, name in _NAMED.rows({"project": project.pk, "texts": texts}):
        found[kind].add(name)
    return World(
        agents=frozenset(found["agent"]),
        tools=frozenset(found["tool"]),
        networks=frozenset(found["network"]),
        people=frozenset(found["person"]) | frozenset(Member.Role.values),
    )


def _texts_in(body: Any) -> set[str]:
    """Every text of a JSON value, however deep."""
    texts: set[str] = set()
    waiting = [body]
    while waiting:
        match waiting.pop():
            case str() as text:
                texts.add(text)
            case Mapping() as pairs:
                waiting.extend(pairs.values())
            case list() as items:
                waiting.extend(items)
    return texts


def names_by_id(project: Project) -> Names:
    """What a project's agents, tools and networks are called."""
    agents, tools, networks = (
        dict(model.objects.filter(project=project).order_by("pk").values_list("pk", "name"))
        for model in (Agent, Tool, Network)
    )
    return Names(agents, tools, networks)


def ids_by_name(project: Project) -> Names:
    """The other way round; of several with one name, the oldest. Agents of the project come before those of
    networks."""
    names = names_by_id(project)
    own = dict(Agent.objects.filter(project=project, network=None).values_list("pk", "name"))
    agents = {name: id_ for id_, name in reversed(list(names.agents.items()))} | {
        n: i for i, n in own.items()
    }
    tools, networks = (
        {name: id_ for id_, name in reversed(list(found.items()))} for found in (names.tools, names.networks)
    )
    return Names(agents, tools, networks)
