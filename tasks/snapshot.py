"""What a run is started with, frozen: the network, its agents and their chains, by the hash of the content."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from agents.catalogue import chain_for
from agents.models import Agent, Tool
from agents.selectors import get_catalogue
from agents.tool_services import spec_of
from networks.models import Network, Project
from web.statements import Statement

_AGENTS = Statement(
    "SELECT {a} FROM agents_agent a WHERE a.network_id = %(network)s ORDER BY a.id",
    a=Agent,
)


@dataclass(frozen=True, slots=True)
class TakenSnapshot:
    """What is to be stored, under its hash, once however many runs start with it."""

    hash: str
    body: dict[str, Any]

    @property
    def coordinator_id(self) -> str:
        return str(self.body["coordinator_id"])


def take_snapshot(network: Network) -> TakenSnapshot:
    """Return the network as it is now. Raises `Agent.DoesNotExist` for one without a coordinator."""
    body = _body(network, [agent for (agent,) in _AGENTS.models({"network": network.id})])
    return TakenSnapshot(hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest(), body)


def _body(network: Network, agents: Sequence[Agent]) -> dict[str, Any]:
    coordinator = next((agent for agent in agents if agent.type == "coordinator"), None)
    if coordinator is None:
        raise Agent.DoesNotExist(f"Network {network.id} has no coordinator.")
    catalogue = get_catalogue()
    chain = tuple(network.chain or network.project.chain or catalogue.default_chain())

    def models(agent: Agent) -> list[str]:
        resolved = [catalogue.resolve(name) for name in chain_for(agent.model, chain)]
        named = zip(chain_for(agent.model, chain), resolved, strict=True)
        return list(dict.fromkeys(model.id if model else name for name, model in named))

    body = {
        "network": {
            "id": network.id,
            "name": network.name,
            "description": network.description,
            "shared_context": network.shared_context,
        },
        "coordinator_id": coordinator.id,
        "agents": [agent_as_json(agent, models(agent)) for agent in agents],
    }
    if tools := {id_ for agent in agents for id_ in agent.tools}:
        body["tools"] = tools_as_json(network.project, tools)
    return body


def agent_as_json(agent: Agent, models: Sequence[str]) -> dict[str, Any]:
    """An agent as snapshots hold it, with its whole chain."""
    body = {
        "id": agent.id,
        "name": agent.name,
        "type": agent.type,
        "description": agent.description,
        "system_prompt": agent.system_prompt,
        "parameters": agent.parameters,
        "capabilities": agent.capabilities,
        "models": list(models),
    }
    return {**body, "tools": agent.tools} if agent.tools else body


def tools_as_json(project: Project, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Tools as snapshots hold them."""
    tools = Tool.objects.filter(project=project, pk__in=list(ids)).order_by("pk")
    return [asdict(spec_of(tool)) for tool in tools]
