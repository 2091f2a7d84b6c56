"""Bodies and answers of the agent endpoints."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from web.pagination import page_query
from web.serializers import Body, Integer, JsonObject, Number, Text

WRAPPER = "agent_config"


class ParametersBody(Body):
    """Sampling parameters; a model that does not take one is asked without it."""

    temperature = Number(required=False, min_value=0, max_value=2)
    max_tokens = Integer(required=False, min_value=1, max_value=1_000_000)
    top_p = Number(required=False, min_value=0, max_value=1)


class AgentBody(Body):
    """An agent, bare or wrapped as `{"agent_config": {…}}`."""

    name = Text(min_length=1, max_length=100)
    type = Text(
        min_length=1,
        max_length=50,
        help_text="`coordinator`, `content`, `design`, `analytics`, `personalization`, or a type of yours.",
    )
    model = Text(
        required=False, allow_blank=True, max_length=100, help_text="Id or alias; empty: the network's chain."
    )
    description = Text(required=False, allow_blank=True, max_length=1000)
    parameters = ParametersBody(required=False)
    capabilities = serializers.ListField(
        child=Text(min_length=1, max_length=100), required=False, max_length=50
    )
    system_prompt = Text(required=False, allow_blank=True, max_length=20_000, trim_whitespace=False)
    metadata = JsonObject(required=False)
    tools = serializers.ListField(
        child=Text(max_length=40),
        required=False,
        max_length=50,
        help_text="Ids of the project's tools that it may call.",
    )

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping) or WRAPPER not in data:
            return super().to_internal_value(data)
        if beside := [name for name in data if name != WRAPPER]:
            raise ValidationError({name: [ErrorDetail("Unknown field.", "unknown_field")] for name in beside})
        try:
            return super().to_internal_value(data[WRAPPER])
        except ValidationError as error:
            raise ValidationError({WRAPPER: error.detail}) from error


class WrappedAgentBody(Body):
    agent_config = AgentBody()


class AgentChangesBody(AgentBody):
    name = Text(required=False, min_length=1, max_length=100)
    type = Text(required=False, min_length=1, max_length=50)


class WrappedAgentChangesBody(Body):
    agent_config = AgentChangesBody()


AnyAgentBody = PolymorphicProxySerializer("AgentOrConfig", [AgentBody, WrappedAgentBody], None)
AnyAgentChangesBody = PolymorphicProxySerializer(
    "AgentChangesOrConfig", [AgentChangesBody, WrappedAgentChangesBody], None
)


class AgentAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    agent_id = serializers.CharField(help_text="The same as `id`.")
    network_id = serializers.CharField()
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


AgentQuery = page_query(default=50)
