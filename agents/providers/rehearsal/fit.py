"""Making a draft satisfy a JSON Schema: keep what fits, drop what is forbidden, fill in what is required."""

import json
from collections.abc import Callable, Mapping
from typing import Any

Say = Callable[[str], str]
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "person@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_MATCHES: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def fit(value: Any, schema: Any, say: Say, *, name: str = "", root: Any = None) -> Any:
    """Return `value` changed as little as the schema demands. `say(field)` gives words for missing texts.

    Knows types, enums, required, closed objects, bounds, lengths, `anyOf` and local `$ref`; a `pattern` of
    its own or a `not` is beyond it.
    """
    if not isinstance(schema, Mapping):
        return value
    root = schema if root is None else root
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return value if value in schema["enum"] else schema["enum"][0]
    if schema.get("allOf"):
        schema = {
            **schema,
            **{key: part for each in schema["allOf"] for key, part in _resolve(each, root).items()},
        }
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            options = [_resolve(option, root) for option in schema[key]]
            chosen = next((option for option in options if _is(value, _kind(option, value))), options[0])
            return fit(value, chosen, say, name=name, root=root)
    kind = _kind(schema, value)
    if kind == "object":
        return _object(value, schema, say, root)
    if kind == "array":
        return _array(value, schema, say, name, root)
    if kind == "string":
        return _string(value, schema, say, name)
    if kind in ("number", "integer"):
        return _number(value, schema, kind)
    if kind == "boolean":
        return value if isinstance(value, bool) else False
    return None if kind == "null" else value


def _kind(schema: Mapping[str, Any], value: object) -> str:
    """Return the schema's type; of several the one the value has, of none the one its keywords mean."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((str(each) for each in kind if _is(value, each)), str(kind[0]))
    if kind is None:
        return "object" if "properties" in schema else "array" if "items" in schema else ""
    return str(kind)


def _is(value: object, kind: str) -> bool:
    return kind in _MATCHES and _MATCHES[kind](value)


def _resolve(schema: Mapping[str, Any], root: Any) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return schema
    found: Any = root
    for step in filter(None, reference[1:].split("/")):
        found = found.get(step, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _object(value: Any, schema: Mapping[str, Any], say: Say, root: Any) -> dict[str, Any]:
    given = value if isinstance(value, Mapping) else {}
    properties: Mapping[str, Any] = schema.get("properties") or {}
    extra = schema.get("additionalProperties", True)
    fitted = {}
    for key in given:
        if key in properties:
            fitted[key] = fit(given[key], properties[key], say, name=key, root=root)
        elif extra is not False:
            fitted[key] = fit(given[key], extra, say, name=key, root=root)
    for key in schema.get("required", ()):
        if key not in fitted:
            fitted[key] = fit(None, properties.get(key, {"type": "string"}), say, name=key, root=root)
    return fitted


def _array(value: Any, schema: Mapping[str, Any], say: Say, name: str, root: Any) -> list[Any]:
    items, least = schema.get("items", {}), int(schema.get("minItems", 0))
    fitted = [
        fit(item, items, say, name=name, root=root) for item in (value if isinstance(value, list) else [])
    ]
    if value is None and not fitted:
        least = max(least, 1) if isinstance(items, Mapping) and items else least
    while len(fitted) < least:
        fitted.append(fit(None, items, say, name=f"{name} {len(fitted) + 1}".strip(), root=root))
    return fitted[: schema.get("maxItems")]


def _string(value: Any, schema: Mapping[str, Any], say: Say, name: str) -> str:
    if isinstance(value, Mapping | list):
        value = json.dumps(value, ensure_ascii=False)
    text = value if isinstance(value, str) else _FORMATS.get(str(schema.get("format")), "") or say(name)
    return text.ljust(int(schema.get("minLength", 0)), ".")[: schema.get("maxLength")]


def _number(value: Any, schema: Mapping[str, Any], kind: str) -> float | int:
    low, high = schema.get("minimum"), schema.get("maximum")
    number = value if _is(value, "number") else 1 if kind == "integer" else 0.5
    number = max(number, low) if low is not None else number
    number = min(number, high) if high is not None else number
    return int(number) if kind == "integer" else float(number)
