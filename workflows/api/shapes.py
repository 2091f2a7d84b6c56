"""What the API shows of workflows."""

from typing import Any

from workflows.models import Workflow, WorkflowVersion
from workflows.selectors import latest_version


def shape_workflow(workflow: Workflow) -> dict[str, Any]:
    """A workflow with its latest graph, positions and findings."""
    version = latest_version(workflow)
    return {
        "id": workflow.pk,
        "workflow_id": workflow.pk,
        "project_id": workflow.project_id,
        "name": workflow.name,
        "description": workflow.description,
        "revision": workflow.revision,
        "version": workflow.latest,
        "published_version": workflow.published,
        "valid": version.valid,
        "findings": version.findings,
        "graph": with_positions(version.graph, workflow.layout),
        "created_at": workflow.created_at,
        "updated_at": workflow.updated_at,
    }


def with_positions(graph: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    """A graph as it was drawn."""
    nodes = [
        {**node, "position": layout[node["id"]]} if node["id"] in layout else node for node in graph["nodes"]
    ]
    return {"nodes": nodes, "edges": graph["edges"]}


def shape_version(version: WorkflowVersion, *, published: int | None) -> dict[str, Any]:
    """A version in a list; `published` is the number of the one that runs."""
    return {
        "number": version.number,
        "valid": version.valid,
        "note": version.note,
        "published": version.number == published,
        "published_at": version.published_at,
        "created_by": version.created_by,
        "created_at": version.created_at,
    }


def shape_version_detail(version: WorkflowVersion, *, published: int | None) -> dict[str, Any]:
    """A version with its graph."""
    return shape_version(version, published=published) | {
        "graph": version.graph,
        "findings": version.findings,
    }
