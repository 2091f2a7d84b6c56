"""Bodies and answers of the memory endpoints."""

from typing import Any

from rest_framework import serializers

from memory.models import MemoryItem, MemoryType
from web.pagination import page_query
from web.problems import Invalid, NotAvailable
from web.serializers import Body, Choice, Integer, JsonObject, Number, Text

TEN_YEARS = 10 * 365 * 86_400
_TTL: dict[str, Any] = {
    "required": False,
    "allow_null": True,
    "min_value": 1,
    "max_value": TEN_YEARS,
    "help_text": "Seconds after which the item is not recalled any more.",
}


class MemoryBody(Body):
    content = Text(min_length=1, max_length=20_000)
    memory_type = Choice(choices=MemoryType.choices, required=False, help_text="Default `fact`.")
    type = Choice(choices=MemoryType.choices, required=False, help_text="The same as `memory_type`.")
    confidence = Number(required=False, min_value=0, max_value=1, help_text="Default 1.")
    metadata = JsonObject(required=False)
    ttl = Integer(**_TTL)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        memory_type = attrs.pop("memory_type", None)
        if memory_type is not None:
            if attrs.get("type", memory_type) != memory_type:
                raise Invalid("/type", "Differs from memory_type; give one of them.")
            attrs["type"] = memory_type
        return attrs


class NewMemoryBody(MemoryBody):
    supersedes = Text(required=False, max_length=40, help_text="Id of the item that this one replaces.")


class MemoryQuery(page_query(default=50, maximum=200)):  # type: ignore[misc]
    memory_type = serializers.ChoiceField(choices=MemoryType.choices, required=False)
    source = serializers.ChoiceField(choices=MemoryItem.Source.choices, required=False)
    min_confidence = serializers.FloatField(required=False, min_value=0, max_value=1)
    query = serializers.CharField(
        required=False, max_length=5000, help_text='Words; also "phrases", `or` and -exclusions.'
    )
    search_mode = serializers.ChoiceField(
        choices=["keyword", "semantic", "hybrid"],
        required=False,
        help_text="Default `keyword`. `semantic` and `hybrid` are not available yet and answer 422.",
    )

    def validate_search_mode(self, value: str) -> str:
        if value != "keyword":
            raise NotAvailable("/query/search_mode", f"`{value}` search is not available yet; use `keyword`.")
        return value

    def validate_min_confidence(self, value: float) -> float:
        if value != value:
            raise serializers.ValidationError("Not a number.")
        return value


class SourceAnswer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=MemoryItem.Source.choices)
    agent_id = serializers.CharField(allow_null=True)
    run_id = serializers.CharField(allow_null=True)
    step_id = serializers.CharField(allow_null=True)
    key_id = serializers.CharField(allow_null=True)


class MemoryAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    memory_id = serializers.CharField(help_text="The same as `id`.")
    network_id = serializers.CharField()
    type = serializers.ChoiceField(choices=MemoryType.choices)
    content = serializers.CharField()
    confidence = serializers.FloatField()
    score = serializers.FloatField(required=False, help_text="How well it fits; only when `query` was given.")
    metadata = serializers.DictField()
    source = SourceAnswer()  # type: ignore[assignment]  # the name is the contract's
    trusted = serializers.BooleanField(help_text="False: quoted to agents as hearsay.")
    version = serializers.IntegerField()
    supersedes = serializers.CharField(allow_null=True)
    superseded_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RevisionAnswer(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    type = serializers.ChoiceField(choices=MemoryType.choices)
    content = serializers.CharField()
    confidence = serializers.FloatField()
    metadata = serializers.DictField()
    changed_by = serializers.CharField(allow_null=True)
    changed_at = serializers.DateTimeField()


class MemoryDetailAnswer(MemoryAnswer):
    superseded_by = serializers.CharField(allow_null=True)
    history = RevisionAnswer(many=True)


class MemoryUpdateAnswer(serializers.Serializer[Any]):
    memory_id = serializers.CharField()
    network_id = serializers.CharField()
    type = serializers.ChoiceField(choices=MemoryType.choices)
    updated_at = serializers.DateTimeField()
    version = serializers.IntegerField()
    updates = serializers.ListField(child=serializers.CharField(), help_text="The names of what has changed.")
