"""The form by which a person edits before approving: a field for each simple property of the form's schema."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms

from tasks.models import Approval

_LONG = 100  # a text that may be longer gets an area


class WholeJson(forms.JSONField):
    """A JSON value as text, indented."""

    widget = forms.Textarea(attrs={"rows": 12, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


class DecisionForm(forms.Form):
    """Shows what is asked for; `output()` is what an edit makes of it."""

    comment = forms.CharField(
        required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}), label="Comment"
    )

    def __init__(self, approval: Approval, data: Any = None) -> None:
        super().__init__(data)
        self._approval = approval
        self._simple = simple_properties(approval.form_schema)
        shown = approval.data
        if self._simple:
            values = shown if isinstance(shown, Mapping) else {}
            for name, schema in self._simple.items():
                self.fields[_field(name)] = _make(name, schema, values.get(name, schema.get("default")))
        else:
            self.fields["output"] = WholeJson(required=False, initial=shown, label="The whole value, as JSON")
        self.order_fields([name for name in self.fields if name != "comment"])

    @property
    def edits(self) -> list[forms.BoundField]:
        """The fields that make the output."""
        return [self[name] for name in self.fields if name != "comment"]

    def output(self) -> Any:
        """The value that an edit approves. The form has been found valid."""
        if not self._simple:
            return self.cleaned_data["output"]
        base = dict(self._approval.data) if isinstance(self._approval.data, Mapping) else {}
        for name in self._simple:
            value = self.cleaned_data[_field(name)]
            if value is None or (value == "" and name not in base):
                base.pop(name, None)
            else:
                base[name] = value
        return base


def simple_properties(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The properties that a form can ask for one by one; none when one of them is not simple."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not properties:
        return {}
    simple = {
        name: inner
        for name, inner in properties.items()
        if isinstance(inner, Mapping)
        and ("enum" in inner or inner.get("type") in ("string", "integer", "number", "boolean"))
    }
    return simple if len(simple) == len(properties) else {}


def _field(name: str) -> str:
    return f"field_{name}"


def _make(name: str, schema: Mapping[str, Any], initial: Any) -> forms.Field:
    options: dict[str, Any] = {
        "required": False,
        "initial": initial,
        "label": str(schema.get("title") or name.replace("_", " ").capitalize()),
        "help_text": str(schema.get("description") or ""),
    }
    if "enum" in schema:
        choices = [(value, value) for value in schema["enum"] if isinstance(value, str)]
        return forms.ChoiceField(choices=choices, **options)
    match schema["type"]:
        case "integer":
            return forms.IntegerField(**options)
        case "number":
            return forms.FloatField(**options)
        case "boolean":
            return forms.BooleanField(**options)
    text = initial if isinstance(initial, str) else ""
    if max(len(text), schema.get("maxLength", 0)) > _LONG or "\n" in text:
        options["widget"] = forms.Textarea(attrs={"rows": min(14, 3 + len(text) // 80)})
    return forms.CharField(strip=False, **options)
