"""Bodies and answers of the key endpoints."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from networks.models import Scope
from web.pagination import page_query
from web.serializers import Body, Choice, Integer, Moment, Text


class _Expiry(Body):
    accept_camel_case = True

    expires_at = Moment(required=False, allow_null=True)

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("Must be in the future.")
        return value


class KeyBody(_Expiry):
    name = Text(min_length=1, max_length=100)
    scopes = serializers.ListField(
        child=Choice(choices=Scope.choices),
        min_length=1,
        max_length=4,
        default=[Scope.READ, Scope.WRITE, Scope.VOICE],
    )
    network_ids = serializers.ListField(
        child=Text(max_length=40), max_length=100, required=False, help_text="Empty means every network."
    )


class RotateBody(_Expiry):
    overlap_seconds = Integer(
        default=86_400, min_value=0, max_value=30 * 86_400, help_text="How long the old key goes on working."
    )


class KeyAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    project_id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The beginning of the key, to recognise it by.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    network_ids = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class NewKeyAnswer(KeyAnswer):
    key = serializers.CharField(help_text="The key itself. It is shown this once.")


KeyQuery = page_query()
