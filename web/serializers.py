"""Strict fields and serializers: no unknown member, no `"5"` for 5, no `true` for 1."""

from collections.abc import Mapping
from typing import Any, NoReturn

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError


class Text(serializers.CharField):
    """A JSON string; numbers are not turned into one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Integer(serializers.IntegerField):
    """A JSON integer. `5.0` is one, as JSON Schema has it; `"5"` and `true` are not."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float) or data != int(data):
            self.fail("invalid")
        return int(data)


class Number(serializers.FloatField):
    """A JSON number."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return float(data)


class Boolean(serializers.BooleanField):
    """A JSON boolean; `"yes"` and 1 are not."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Choice(serializers.ChoiceField):
    """One of a few strings."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class Moment(serializers.DateTimeField):
    """An ISO 8601 date and time; without an offset it is UTC."""

    def to_internal_value(self, value: Any) -> Any:
        if not isinstance(value, str):
            self.fail("invalid", format="YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]")
        return super().to_internal_value(value)


class JsonObject(serializers.DictField):
    """Any JSON object, kept as it came."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Body(serializers.Serializer[Any]):
    """A JSON body. A member it does not know is an error that names it."""

    accept_camel_case = False  # the AgentMesh section accepts `networkIds` for `network_ids`

    def to_internal_value(self, data: Any) -> Any:
        if self.accept_camel_case and isinstance(data, Mapping):
            data = {_snake(name): value for name, value in data.items()}
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = [name for name in data if name not in known]
            if unknown:
                self._refuse(unknown, data)
        return super().to_internal_value(data)

    def _refuse(self, unknown: list[str], data: Mapping[str, Any]) -> NoReturn:
        errors: dict[str, Any] = {name: [ErrorDetail("Unknown field.", "unknown_field")] for name in unknown}
        try:
            super().to_internal_value({name: value for name, value in data.items() if name not in errors})
        except ValidationError as error:
            if isinstance(error.detail, dict):
                errors |= error.detail  # name everything that is wrong at once
        raise ValidationError(errors)


class Query(serializers.Serializer[Any]):
    """A query string: values come as text; a parameter that is unknown or repeated is an error."""

    @classmethod
    def read(cls, params: QueryDict) -> dict[str, Any]:
        """Return the validated parameters of one request."""
        query = cls(data=params.dict())
        errors: dict[str, Any] = {}
        for name, values in params.lists():
            if name not in query.fields:
                errors[name] = [ErrorDetail("Unknown parameter.", "unknown_parameter")]
            elif len(values) > 1:
                errors[name] = [ErrorDetail("Given more than once.", "repeated_parameter")]
        if not query.is_valid():
            errors = dict(query.errors) | errors
        if errors:
            raise ValidationError({"query": errors})
        return dict(query.validated_data)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
