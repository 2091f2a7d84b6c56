"""The agents of a project, in networks or not: workflows use them, and they may join a network."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agents import selectors, services
from agents.models import Agent
from networks.authentication import caller
from networks.models import ApiKey, Network
from networks.selectors import access_network_for
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import page_query, paginate
from web.problems import Invalid, NotFound, Problem
from web.serializers import Body, JsonObject, Number, Text
from web.views import MeshView, created, empty, read_body

from .serializers import ParametersBody
from .views import shape_agent


class ProjectAgentBody(Body):
    accept_camel_case = True

    project_id = Text(required=False, max_length=40, help_text="The key's own project, if given.")
    network_id = Text(
        required=False, allow_null=True, max_length=40, help_text="The network it joins; null: none."
    )
    name = Text(min_length=1, max_length=100)
    type = Text(required=False, min_length=1, max_length=50, help_text="`assistant`, if not given.")
    description = Text(required=False, allow_blank=True, max_length=1000)
    provider = Text(required=False, max_length=30, help_text="If given, the provider of `model`.")
    model = Text(required=False, allow_blank=True, max_length=100, help_text="Empty: the first of the chain.")
    system_prompt = Text(required=False, allow_blank=True, max_length=20_000, trim_whitespace=False)
    temperature = Number(
        required=False, min_value=0, max_value=2, help_text="Short for parameters.temperature."
    )
    parameters = ParametersBody(required=False)
    capabilities = serializers.ListField(
        child=Text(min_length=1, max_length=100), required=False, max_length=50
    )
    tools = serializers.ListField(
        child=Text(max_length=40), required=False, max_length=50, help_text="Ids of the tools it may call."
    )
    metadata = JsonObject(required=False)


class ProjectAgentAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    agent_id = serializers.CharField(help_text="The same as `id`.")
    project_id = serializers.CharField()
    network_id = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    type = serializers.CharField()
    status = serializers.ChoiceField(choices=["idle", "working", "error"])
    model = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_blank=True)
    parameters = serializers.DictField()
    capabilities = serializers.ListField(child=serializers.CharField())
    system_prompt = serializers.CharField(allow_blank=True)
    tools = serializers.ListField(child=serializers.CharField())
    metadata = serializers.DictField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ProjectAgentQuery(page_query(default=50)):  # type: ignore[misc]
    network_id = serializers.CharField(required=False, max_length=40)


class ProjectAgentsView(MeshView):
    tags = ["Agents"]

    @document(
        answer=ProjectAgentAnswer(many=True), query=ProjectAgentQuery, summary="List a project's agents"
    )
    def get(self, request: Request) -> Response:
        params = ProjectAgentQuery.read(request._request.GET)
        found = selectors.agents_for(caller(request))
        if "network_id" in params:
            found = found.filter(network_id=params["network_id"])
        return paginate(
            found.order_by("-id"),
            request=request._request,
            params=params,
            shape=lambda agents: [shape_project_agent(agent) for agent in agents],
        )

    @document(
        answer=ProjectAgentAnswer, status=201, body=ProjectAgentBody, conflict=True, summary="Create an agent"
    )
    @idempotent
    def post(self, request: Request) -> Response:
        key = caller(request)
        values = _values(key, read_body(ProjectAgentBody, request))
        if key.network_ids and values.get("network") is None:
            raise Problem("forbidden", "The key is restricted to networks: name one of them in network_id.")
        assert key.project is not None
        agent = services.create_project_agent(project=key.project, values={"type": "assistant"} | values)
        return created(shape_project_agent(agent), f"/api/agents/{agent.pk}")


class ProjectAgentView(MeshView):
    tags = ["Agents"]

    @document(answer=ProjectAgentAnswer, summary="Get an agent")
    def get(self, request: Request, agent_id: str) -> Response:
        return Response(shape_project_agent(selectors.access_project_agent_for(caller(request), agent_id)))

    @document(answer=ProjectAgentAnswer, body=ProjectAgentBody, conflict=True, summary="Change an agent")
    def patch(self, request: Request, agent_id: str) -> Response:
        key = caller(request)
        agent = selectors.access_project_agent_for(key, agent_id)
        changes = _values(key, read_body(ProjectAgentBody, request, partial=True), agent)
        services.check_may_leave(agent, changes)
        return Response(shape_project_agent(services.update_agent(agent=agent, changes=changes)))

    @document(status=204, conflict=True, summary="Remove an agent")
    def delete(self, request: Request, agent_id: str) -> HttpResponse:
        agent = selectors.access_project_agent_for(caller(request), agent_id)
        services.check_may_leave(agent, {"network": None})
        services.delete_agent(agent=agent)
        return empty()


def shape_project_agent(agent: Agent) -> dict[str, Any]:
    """What the API shows of an agent beside its network."""
    return shape_agent(agent) | {"project_id": agent.project_id, "tools": list(agent.tools)}


def _values(key: ApiKey, body: Mapping[str, Any], agent: Agent | None = None) -> dict[str, Any]:
    """The fields of an `Agent` out of a body."""
    values = dict(body)
    if values.pop("project_id", key.project_id) != key.project_id:
        raise NotFound("There is no such project.")
    if "temperature" in values:
        parameters = values.get("parameters", dict(agent.parameters) if agent else {})
        values["parameters"] = {**parameters, "temperature": values.pop("temperature")}
    if "network_id" in values:
        network_id = values.pop("network_id")
        values["network"] = None if network_id is None else _network(key, network_id)
    provider = values.pop("provider", None)
    if provider is not None:
        services.check_provider(provider, values.get("model", agent.model if agent else ""))
    return values


def _network(key: ApiKey, network_id: str) -> Network:
    try:
        return access_network_for(key, network_id)
    except NotFound:
        raise Invalid("/network_id", f"There is no network {network_id}.", "does_not_exist") from None
