"""What a run is started with, frozen: the network, its agents and their chains, by the hash of the content."""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from agents.catalogue import chain_for
from agents.models import Agent
from agents.selectors import get_catalogue
from networks.models import Network

from .models import Snapshot


def take_snapshot(network: Network) -> tuple[str, str]:
    """Store the network as it is now, once however many runs start with it.

    Returns the snapshot's hash and the coordinator's id.

    Raises `Agent.DoesNotExist` for a network without a coordinator.
    """
    body = _body(network, list(network.agents.order_by("id")))
    hash_ = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
    if not Snapshot.objects.filter(hash=hash_).exists():
        Snapshot.objects.bulk_create([Snapshot(hash=hash_, body=body)], ignore_conflicts=True)
    return hash_, body["coordinator_id"]


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

    return {
        "network": {
            "id": network.id,
            "name": network.name,
            "description": network.description,
            "shared_context": network.shared_context,
        },
        "coordinator_id": coordinator.id,
        "agents": [
            {
                "id": agent.id,
                "name": agent.name,
                "type": agent.type,
                "description": agent.description,
                "system_prompt": agent.system_prompt,
                "parameters": agent.parameters,
                "capabilities": agent.capabilities,
                "models": models(agent),
            }
            for agent in agents
        ],
    }
