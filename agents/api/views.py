"""The agents of a network."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from agents import selectors, services
from agents.defaults import COORDINATOR
from agents.models import Agent
from networks.authentication import caller
from networks.models import Network
from networks.selectors import access_network_for
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import paginate
from web.views import MeshView, created, empty, read_body

from .serializers import (
    AgentAnswer,
    AgentBody,
    AgentChangesBody,
    AgentQuery,
    AnyAgentBody,
    AnyAgentChangesBody,
)


def _allow(network: Network) -> None:
    """The guard of an installation without tasks."""


class AgentsView(MeshView):
    tags = ["Agents"]

    @document(answer=AgentAnswer(many=True), query=AgentQuery, summary="List a network's agents")
    def get(self, request: Request, network_id: str) -> Response:
        params = AgentQuery.read(request._request.GET)
        network = access_network_for(caller(request), network_id)
        return paginate(
            selectors.agents_of(network),
            request=request._request,
            params=params,
            shape=lambda agents: [shape_agent(agent) for agent in agents],
        )

    @document(answer=AgentAnswer, status=201, body=AnyAgentBody, summary="Add an agent")
    @idempotent
    def post(self, request: Request, network_id: str) -> Response:
        network = access_network_for(caller(request), network_id)
        agent = services.create_agent(network=network, values=read_body(AgentBody, request))
        return created(shape_agent(agent), f"/api/mesh/networks/{network_id}/agents/{agent.pk}")


class AgentView(MeshView):
    tags = ["Agents"]

    # Raises when the network works and needs its coordinator. Runs belong to a higher app, which hands the
    # check down where the address is wired.
    check_coordinator_may_go: Callable[[Network], None] = staticmethod(_allow)

    @document(answer=AgentAnswer, summary="Get an agent")
    def get(self, request: Request, network_id: str, agent_id: str) -> Response:
        _, agent = self._agent(request, network_id, agent_id)
        return Response(shape_agent(agent))

    @document(answer=AgentAnswer, body=AnyAgentChangesBody, conflict=True, summary="Change an agent")
    def patch(self, request: Request, network_id: str, agent_id: str) -> Response:
        network, agent = self._agent(request, network_id, agent_id)
        changes = read_body(AgentChangesBody, request, partial=True)
        if agent.type == COORDINATOR and changes.get("type", COORDINATOR) != COORDINATOR:
            self.check_coordinator_may_go(network)
        return Response(shape_agent(services.update_agent(agent=agent, changes=changes)))

    @document(status=204, conflict=True, summary="Remove an agent")
    def delete(self, request: Request, network_id: str, agent_id: str) -> HttpResponse:
        network, agent = self._agent(request, network_id, agent_id)
        if agent.type == COORDINATOR:
            self.check_coordinator_may_go(network)
        services.delete_agent(agent=agent)
        return empty()

    def _agent(self, request: Request, network_id: str, agent_id: str) -> tuple[Network, Agent]:
        network = access_network_for(caller(request), network_id)
        return network, selectors.access_agent_for(network, agent_id)


def shape_agent(agent: Agent) -> dict[str, Any]:
    """What the API shows of an agent."""
    return {
        "id": agent.pk,
        "agent_id": agent.pk,
        "network_id": agent.network_id,
        "name": agent.name,
        "type": agent.type,
        "status": selectors.status_of(agent),
        "model": agent.model,
        "description": agent.description,
        "parameters": agent.parameters,
        "capabilities": agent.capabilities,
        "system_prompt": agent.system_prompt,
        "tools": list(agent.tools),
        "metadata": agent.metadata,
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }
