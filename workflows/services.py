"""Writes of workflows. Every save that changes what a workflow does makes a version."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from networks.models import Project
from web.problems import Conflict, Invalid

from .models import Workflow, WorkflowVersion
from .parsing import graph_as_json, positions_of
from .problems import invalid_graph
from .selectors import access_version_for, latest_version, world_of
from .validation import validate

EMPTY: Mapping[str, Any] = {"nodes": [], "edges": []}


@transaction.atomic
def create_workflow(
    *,
    project: Project,
    name: str,
    description: str = "",
    graph: Mapping[str, Any] | None = None,
    author: str = "",
) -> Workflow:
    """Create a workflow with its first version, valid or not."""
    body = EMPTY if graph is None else graph
    workflow = Workflow.objects.create(
        project=project, name=name, description=description, layout=positions_of(body)
    )
    _add_version(workflow, body, author)
    return workflow


@transaction.atomic
def update_workflow(
    *, workflow: Workflow, changes: Mapping[str, Any], revision: int | None = None, author: str = ""
) -> Workflow:
    """Change name, description or graph. With `revision`, only if it is still that one, else 412.

    A graph that does the same as before makes no version, wherever its nodes were moved.
    """
    workflow = Workflow.objects.select_for_update().get(pk=workflow.pk)
    if revision is not None and workflow.revision != revision:
        raise Conflict("revision_mismatch", f"The workflow is at revision {workflow.revision} by now.")
    for name in ("name", "description"):
        if name in changes:
            setattr(workflow, name, changes[name])
    if "graph" in changes:
        workflow.layout = positions_of(changes["graph"])
        _add_version(workflow, changes["graph"], author)
    workflow.revision += 1
    workflow.save()
    return workflow


@transaction.atomic
def publish(*, workflow: Workflow, number: int | None = None, note: str = "") -> WorkflowVersion:
    """Make a version, by default the latest, the one that runs. Runs that have begun keep theirs.

    Raises `Problem` (invalid_workflow) with every finding; it is validated again, for agents and tools go.
    """
    workflow = Workflow.objects.select_for_update().get(pk=workflow.pk)
    version = access_version_for(workflow, number) if number else latest_version(workflow)
    revalidate(version, workflow.project)
    if not version.valid:
        raise invalid_graph(version.findings)
    version.note = note
    version.published_at = timezone.now()
    version.save(update_fields=["note", "published_at"])
    workflow.published = version.number
    workflow.revision += 1
    workflow.save(update_fields=["published", "revision", "updated_at"])
    return version


def revalidate(version: WorkflowVersion, project: Project) -> None:
    """Look again whether a version can be run: what it names may have been deleted, or made."""
    _, findings = validate(version.graph, world_of(project, version.graph))
    found = [finding.as_json() for finding in findings]
    if found != version.findings:
        version.findings, version.valid = found, not found
        version.save(update_fields=["findings", "valid"])


def archive(*, workflow: Workflow) -> None:
    """Take a workflow away. Its runs, and their versions, stay."""
    with transaction.atomic():
        workflow.archived_at = timezone.now()
        workflow.save(update_fields=["archived_at", "updated_at"])
        workflow.schedules.update(active=False, next_at=None)
        workflow.triggers.update(active=False)


def _add_version(workflow: Workflow, body: Mapping[str, Any], author: str) -> None:
    if not isinstance(body, Mapping):
        raise Invalid("/graph", "A graph is an object with nodes and edges.", "not_an_object")
    graph, findings = validate(body, world_of(workflow.project, body))
    unreadable = [
        finding for finding in findings if finding.code in ("unknown_field", "wrong_type", "not_an_object")
    ]
    if unreadable:  # what cannot be kept cannot be a draft either
        raise invalid_graph([finding.as_json() for finding in unreadable])
    kept = graph_as_json(graph)
    digest = hashlib.sha256(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)).hexdigest()
    found = [finding.as_json() for finding in findings]
    if workflow.latest:
        latest = latest_version(workflow)
        if latest.hash == digest:
            return
    workflow.latest += 1
    WorkflowVersion.objects.create(
        workflow=workflow,
        number=workflow.latest,
        graph=kept,
        hash=digest,
        valid=not found,
        findings=found,
        created_by=author,
    )
    workflow.save(update_fields=["latest"])
