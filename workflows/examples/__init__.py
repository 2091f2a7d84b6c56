"""Workflows to begin with, as documents of `workflows.interchange` that bring along their agents and tools.

Besides what every document has: `agents` and `tools`, made in a project that has none of these names, and
`sample_input`, an input to try them with.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from django.db import transaction

from agents.models import Agent, Tool
from agents.services import create_project_agent
from agents.tool_services import create_tool
from networks.models import Project
from workflows.interchange import import_document, read_document
from workflows.models import Workflow
from workflows.selectors import ids_by_name
from workflows.services import create_workflow, publish


@cache
def example_documents() -> tuple[Mapping[str, Any], ...]:
    """Every example, as it is read."""
    folder = resources.files(__name__)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda f: f.name)
    return tuple(read_document(file.read_text(encoding="utf-8")) for file in files)


@transaction.atomic
def load_examples(project: Project) -> list[Workflow]:
    """Give a project the examples, published; those whose names it has already are left as they are."""
    known = set(Workflow.objects.filter(project=project).values_list("name", flat=True))
    return [_load(project, document) for document in example_documents() if document["name"] not in known]


def _load(project: Project, document: Mapping[str, Any]) -> Workflow:
    _make_tools(project, document.get("tools", ()))
    _make_agents(project, document.get("agents", ()))
    values, findings = import_document(document, ids_by_name(project))
    if findings:
        raise ValueError(f"{document['name']}: {[finding.message for finding in findings]}")
    workflow = create_workflow(project=project, author="example", **values)
    publish(workflow=workflow, note="An example.")
    workflow.refresh_from_db()
    return workflow


def _make_tools(project: Project, tools: Iterable[Mapping[str, Any]]) -> None:
    there = set(Tool.objects.filter(project=project).values_list("name", flat=True))
    for tool in tools:
        if tool["name"] not in there:
            create_tool(project=project, values=tool)


def _make_agents(project: Project, agents: Iterable[Mapping[str, Any]]) -> None:
    there = set(Agent.objects.filter(project=project, network=None).values_list("name", flat=True))
    tools = dict(Tool.objects.filter(project=project).values_list("name", "pk"))
    for agent in agents:
        if agent["name"] not in there:
            ids = [tools[name] for name in agent.get("tools", ())]
            create_project_agent(project=project, values={**agent, "tools": ids})
