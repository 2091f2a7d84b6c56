"""The workflow that a session's config names: may it lead a call, and what callers are expected to say in it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import structlog
from asgiref.sync import sync_to_async
from django.db import Error, connection

from networks.models import ApiKey
from workflows.graph import Graph
from workflows.models import Workflow, WorkflowVersion
from workflows.nodes.dialog import phrases_of
from workflows.parsing import parse_graph
from workflows.selectors import workflows_for

from .agent_tools import destinations
from .config import SessionConfig
from .config_flow import STT
from .config_reading import Findings
from .config_rules import is_address

log = structlog.get_logger(__name__)

MOST_PHRASES: Final = 1000


def check_dialog(findings: Findings, key: ApiKey, config: SessionConfig) -> None:
    """Add what keeps the workflow of a config from leading its calls."""
    dialog = config.dialog
    if dialog is None or not dialog.workflow_id:  # found wrong already
        return
    if dialog.on_failure == "person" and not destinations(config):
        findings.add(
            "/dialog/on_failure",
            "Name in /connectors/llm/config/transfer where callers go then.",
            "needs_transfer",
        )
    workflow = workflows_for(key).filter(pk=dialog.workflow_id).first()
    if workflow is None:
        findings.add(
            "/dialog/workflow_id", f"There is no workflow {dialog.workflow_id[:40]}.", "does_not_exist"
        )
    elif (graph := _published(workflow)) is None:
        findings.add("/dialog/workflow_id", "The workflow is not published.", "not_published")
    else:
        _check_targets(findings, graph, config)


def _check_targets(findings: Findings, graph: Graph, config: SessionConfig) -> None:
    places = destinations(config)
    for node in graph.of_type("hand_over"):
        target = str(node.config.get("target", ""))
        if node.config.get("to") == "person" and not is_address(target) and target not in places:
            findings.add(
                "/connectors/llm/config/transfer",
                f"The workflow's node {node.id} hands callers over to {target!r}, which is not named here.",
                "missing_destination",
            )


def expected_phrases(project_id: str, workflow_id: str) -> tuple[str, ...]:
    """What callers may say in a workflow as it is published now, for the recogniser. Blocks."""
    try:
        workflow = Workflow.objects.filter(pk=workflow_id, project_id=project_id, archived_at=None).first()
        graph = _published(workflow) if workflow is not None else None
    finally:
        if not connection.in_atomic_block:  # a test's transaction
            connection.close()
    if graph is None:
        return ()
    choices = [choice for node in graph.of_type("ask") for choice in node.config.get("choices", ())]
    return tuple(dict.fromkeys(phrase for choice in choices for phrase in phrases_of(choice)))


async def expecting(project_id: str, config: SessionConfig) -> SessionConfig:
    """The config with what its dialog expects to hear; as it is while the database is away."""
    if config.dialog is None:
        return config
    read = sync_to_async(expected_phrases, thread_sensitive=False)
    try:
        return with_phrases(config, await read(project_id, config.dialog.workflow_id))
    except Error as error:
        log.warning("a dialog's phrases cannot be read", error=str(error)[:200])
        return config


def with_phrases(config: SessionConfig, phrases: Sequence[str]) -> SessionConfig:
    """The config with more phrases for the recogniser."""
    if not phrases:
        return config
    stt = config.connectors[STT]
    own: Any = stt.config.get("phrases") or ()
    together = list(dict.fromkeys((*own, *phrases)))[:MOST_PHRASES]
    told = replace(stt, config={**stt.config, "phrases": together})
    return replace(config, connectors={**config.connectors, STT: told})


def _published(workflow: Workflow) -> Graph | None:
    if workflow.published is None:
        return None
    version = WorkflowVersion.objects.filter(workflow=workflow, number=workflow.published).first()
    return None if version is None else parse_graph(version.graph)[0]
