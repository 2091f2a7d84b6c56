"""Bodies and answers of the workflow endpoints."""

from typing import Any

from rest_framework import serializers

from web.pagination import page_query
from web.serializers import Body, Integer, JsonObject, Text


class WorkflowBody(Body):
    accept_camel_case = True

    name = Text(min_length=1, max_length=100)
    description = Text(required=False, allow_blank=True, max_length=1000)
    graph = JsonObject(required=False, help_text="{nodes, edges}; an invalid one is kept as a draft.")
    project_id = Text(required=False, max_length=40, help_text="The key's own project, if given.")


class PublishBody(Body):
    note = Text(required=False, allow_blank=True, max_length=500)
    version = Integer(required=False, min_value=1, help_text="The latest, if not given.")


class ValidateBody(Body):
    graph = JsonObject(required=False, help_text="Another graph than the workflow's latest.")


class ImportBody(Body):
    accept_camel_case = True

    document = serializers.JSONField(required=False, help_text="An exported workflow as JSON.")
    yaml = Text(
        required=False,
        max_length=1_000_000,
        trim_whitespace=False,
        help_text="Or as YAML, or JSON, in a text.",
    )
    name = Text(required=False, min_length=1, max_length=100, help_text="Another name than the document's.")


class FindingAnswer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    node_id = serializers.CharField(required=False)
    edge_id = serializers.CharField(required=False)
    field = serializers.CharField(required=False, help_text="A JSON pointer below the node or the edge.")


class WorkflowAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    workflow_id = serializers.CharField(help_text="The same as `id`.")
    project_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    revision = serializers.IntegerField(help_text="Also the ETag, which a PUT names in If-Match.")
    version = serializers.IntegerField(help_text="The latest version.")
    published_version = serializers.IntegerField(allow_null=True)
    valid = serializers.BooleanField()
    findings = FindingAnswer(many=True)
    graph = serializers.DictField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class VersionAnswer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    valid = serializers.BooleanField()
    note = serializers.CharField(allow_blank=True)
    published = serializers.BooleanField(help_text="Whether it is the one that runs.")
    published_at = serializers.DateTimeField(allow_null=True)
    created_by = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class VersionDetailAnswer(VersionAnswer):
    graph = serializers.DictField()
    findings = FindingAnswer(many=True)


class ValidationAnswer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    findings = FindingAnswer(many=True)


class ChangesAnswer(serializers.Serializer[Any]):
    added = serializers.ListField(child=serializers.DictField())
    removed = serializers.ListField(child=serializers.DictField())
    changed = serializers.ListField(
        child=serializers.DictField(), help_text="{id, fields: {name: {before, after}}}"
    )


class DiffAnswer(serializers.Serializer[Any]):
    nodes = ChangesAnswer()
    edges = ChangesAnswer()


class DocumentAnswer(serializers.Serializer[Any]):
    format = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    graph = serializers.DictField()


WorkflowQuery = page_query(default=50)
VersionQuery = page_query(default=50)
