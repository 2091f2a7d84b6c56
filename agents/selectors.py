"""Reads of agents and of the model catalogue."""

import time
from dataclasses import dataclass

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet

from networks.models import ApiKey, Network
from web.problems import NotFound

from .catalogue import Catalogue
from .defaults import COORDINATOR
from .models import Agent, CatalogueModel, ModelCall

_RECENT_CALLS = 20
_CATALOGUE_FRESH_FOR = 5.0


def agents_for(key: ApiKey) -> "QuerySet[Agent]":
    """The agents of the key's project, with what `status_of` needs; those of its networks when it is restricted."""
    found = _with_recent_calls(Agent.objects.filter(project_id=key.project_id))
    return found.filter(network_id__in=key.network_ids) if key.network_ids else found


def access_project_agent_for(key: ApiKey, agent_id: str) -> Agent:
    """An agent of the caller's project, else `NotFound`."""
    agent = agents_for(key).filter(pk=agent_id).first()
    if agent is None:
        raise NotFound("There is no such agent.")
    return agent


def _with_recent_calls(agents: "QuerySet[Agent]") -> "QuerySet[Agent]":
    calls = ModelCall.objects.filter(agent_id=OuterRef("pk")).order_by("-id").values("state")
    return agents.annotate(recent_call_states=ArraySubquery(calls[:_RECENT_CALLS]))


def agents_of(network: Network) -> "QuerySet[Agent]":
    """A network's agents, oldest first, with the states of their latest calls for `status_of`."""
    return _with_recent_calls(Agent.objects.filter(network=network)).order_by("id")


def access_agent_for(network: Network, agent_id: str) -> Agent:
    """An agent of a network the caller may see, else `NotFound`."""
    agent = agents_of(network).filter(pk=agent_id).first()
    if agent is None:
        raise NotFound("There is no such agent.")
    return agent


def status_of(agent: Agent) -> str:
    """`working` while a call of the agent is open, `error` when its latest one failed, else `idle`."""
    states: list[str] = getattr(agent, "recent_call_states", [])
    if ModelCall.State.STARTED in states:
        return "working"
    if states and states[0] == ModelCall.State.FAILED:
        return "error"
    return "idle"


def has_coordinator(network: Network) -> bool:
    return Agent.objects.filter(network=network, type=COORDINATOR).exists()


@dataclass(slots=True)
class _Cached:
    catalogue: Catalogue | None = None
    until: float = 0.0


_cached = _Cached()


def get_catalogue() -> Catalogue:
    """The models of the database as a value, at most a few seconds old."""
    if _cached.catalogue is None or time.monotonic() >= _cached.until:
        _cached.catalogue = load_catalogue()
        _cached.until = time.monotonic() + _CATALOGUE_FRESH_FOR
    return _cached.catalogue


def load_catalogue() -> Catalogue:
    """Read the models of the database now."""
    return Catalogue.from_rows(
        CatalogueModel.objects.values(
            "id", "provider", "tier", "aliases", "capabilities", "prices", "retires_on"
        )
    )
