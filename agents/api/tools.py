"""The tools of a project."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents import tool_selectors, tool_services
from agents.crypto import CannotDecrypt
from agents.models import Tool
from networks.authentication import caller
from networks.models import ApiKey
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import page_query, paginate
from web.problems import NotFound, Problem
from web.serializers import Body, Choice, JsonObject, Text
from web.views import MeshView, created, empty, read_body

_NAME_ERROR = "Letters, digits, _ and - only; models call it by this name."


class ToolName(Text):
    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if not all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in name):
            raise ValidationError(_NAME_ERROR)
        return name


class Secrets(JsonObject):
    """Names to texts; null removes one."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        found = super().to_internal_value(data)
        wrong = {
            name: [ErrorDetail("A secret is text, or null to remove it.", "invalid")]
            for name, value in found.items()
            if value is not None and not isinstance(value, str)
        }
        if wrong:
            raise ValidationError(wrong)
        return found


class ToolBody(Body):
    accept_camel_case = True

    project_id = Text(required=False, max_length=40, help_text="The key's own project, if given.")
    name = ToolName(min_length=1, max_length=64, help_text=_NAME_ERROR)
    type = Choice(choices=Tool.Type.choices)
    description = Text(required=False, allow_blank=True, max_length=2000)
    config = JsonObject(required=False, help_text="What the type wants; see docs/tools.md.")
    input_schema = JsonObject(required=False, help_text="JSON Schema of the arguments.")
    output_schema = JsonObject(required=False, help_text="JSON Schema of the result.")
    effect = Choice(
        choices=Tool.Effect.choices,
        required=False,
        help_text="`read_only` or `idempotent` calls are made again when a worker dies in them; after an `unsafe` "
        "one a person is asked.",
    )
    secrets = Secrets(required=False, help_text="Kept encrypted and never shown; used as {secret:name}.")


class ToolAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    tool_id = serializers.CharField(help_text="The same as `id`.")
    project_id = serializers.CharField()
    name = serializers.CharField()
    type = serializers.ChoiceField(choices=Tool.Type.choices)
    description = serializers.CharField(allow_blank=True)
    config = serializers.DictField()
    input_schema = serializers.DictField()
    output_schema = serializers.DictField()
    effect = serializers.ChoiceField(choices=Tool.Effect.choices)
    secrets = serializers.ListField(child=serializers.CharField(), help_text="The names of its secrets.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


ToolQuery = page_query(default=50)


class ToolsView(MeshView):
    tags = ["Tools"]

    @document(answer=ToolAnswer(many=True), query=ToolQuery, summary="List tools")
    def get(self, request: Request) -> Response:
        return paginate(
            tool_selectors.tools_for(caller(request)),
            request=request._request,
            params=ToolQuery.read(request._request.GET),
            shape=lambda tools: [shape_tool(tool) for tool in tools],
        )

    @document(answer=ToolAnswer, status=201, body=ToolBody, conflict=True, summary="Add a tool")
    @idempotent
    def post(self, request: Request) -> Response:
        key = caller(request)
        if key.network_ids:
            raise Problem("forbidden", "The key is restricted to networks; tools belong to the project.")
        values = _values(key, read_body(ToolBody, request))
        assert key.project is not None
        tool = tool_services.create_tool(project=key.project, values=values)
        return created(shape_tool(tool), f"/api/tools/{tool.pk}")


class ToolView(MeshView):
    tags = ["Tools"]

    @document(answer=ToolAnswer, summary="Get a tool, without its secrets")
    def get(self, request: Request, tool_id: str) -> Response:
        return Response(shape_tool(tool_selectors.access_tool_for(caller(request), tool_id)))

    @document(answer=ToolAnswer, body=ToolBody, conflict=True, summary="Replace a tool")
    def put(self, request: Request, tool_id: str) -> Response:
        tool = tool_selectors.access_tool_for(caller(request), tool_id)
        values = _values(caller(request), read_body(ToolBody, request))
        absent = {"description": "", "config": {}, "input_schema": {}, "output_schema": {}}
        return Response(shape_tool(tool_services.update_tool(tool=tool, changes=absent | values)))

    @document(answer=ToolAnswer, body=ToolBody, conflict=True, summary="Change parts of a tool")
    def patch(self, request: Request, tool_id: str) -> Response:
        tool = tool_selectors.access_tool_for(caller(request), tool_id)
        changes = _values(caller(request), read_body(ToolBody, request, partial=True))
        return Response(shape_tool(tool_services.update_tool(tool=tool, changes=changes)))

    @document(status=204, summary="Remove a tool")
    def delete(self, request: Request, tool_id: str) -> HttpResponse:
        tool_services.delete_tool(tool=tool_selectors.access_tool_for(caller(request), tool_id))
        return empty()


def shape_tool(tool: Tool) -> dict[str, Any]:
    """What the API shows of a tool: with the schemas that its kind brings, and only the names of its secrets."""
    spec = tool_services.spec_of(tool)
    try:
        names = sorted(tool_services.secrets_of(tool))
    except CannotDecrypt:
        names = []
    return {
        "id": tool.pk,
        "tool_id": tool.pk,
        "project_id": tool.project_id,
        "name": tool.name,
        "type": tool.type,
        "description": spec.description,
        "config": tool.config,
        "input_schema": spec.input_schema,
        "output_schema": spec.output_schema,
        "effect": spec.effect,
        "secrets": names,
        "created_at": tool.created_at,
        "updated_at": tool.updated_at,
    }


def _values(key: ApiKey, body: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(body)
    project_id = values.pop("project_id", None)
    if project_id is not None and project_id != key.project_id:
        raise NotFound("There is no such project.")
    return values
