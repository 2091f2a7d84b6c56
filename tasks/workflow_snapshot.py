"""What a workflow's run is started with, frozen: the graph, and the agents and tools that it names."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from agents.catalogue import Catalogue, chain_for
from agents.models import Agent
from agents.selectors import get_catalogue
from networks.models import Network, Project
from workflows.models import WorkflowVersion

from .snapshot import TakenSnapshot, agent_as_json, tools_as_json


def take_workflow_snapshot(
    project: Project, version: WorkflowVersion, network: Network | None
) -> TakenSnapshot:
    """Return a version of a workflow with all that its nodes need. Secrets are looked up when a tool is called."""
    nodes = version.graph["nodes"]
    agents = list(
        Agent.objects.filter(project=project, pk__in={node.get("agent_id", "") for node in nodes})
        .select_related("network")
        .order_by("pk")
    )
    tools = {node.get("tool_id", "") for node in nodes}
    tools |= {id_ for node in nodes for id_ in node.get("config", {}).get("tools", ())}
    tools |= {id_ for agent in agents for id_ in agent.tools}
    catalogue = get_catalogue()
    chain = list((network.chain if network else None) or project.chain or catalogue.default_chain())

    def chain_of(agent: Agent) -> list[str]:
        own = agent.network.chain if agent.network else ()
        return resolved(catalogue, chain_for(agent.model, own or chain))

    named = {node.get("config", {}).get("model") for node in nodes} - {None, ""}
    body = {
        "workflow": {"id": version.workflow_id, "version": version.number},
        "graph": version.graph,
        "network": _network(network),
        "agents": [agent_as_json(agent, chain_of(agent)) for agent in agents],
        "tools": tools_as_json(project, tools),
        "chains": {name: resolved(catalogue, chain_for(name, chain)) for name in sorted(named)},
    }
    return TakenSnapshot(hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest(), body)


def resolved(catalogue: Catalogue, names: Iterable[str]) -> list[str]:
    """Models by their catalogue ids, each once."""
    found = [(catalogue.resolve(name), name) for name in names]
    return list(dict.fromkeys(model.id if model else name for model, name in found))


def _network(network: Network | None) -> Mapping[str, Any]:
    if network is None:
        return {}
    return {
        "id": network.id,
        "name": network.name,
        "description": network.description,
        "shared_context": network.shared_context,
    }
