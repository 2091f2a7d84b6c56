"""JSON Schemas that users and models write: whether one may be used, and what is wrong with a value. Pure.

No reference is fetched from anywhere, and no regular expression is run: one can hold up whoever runs it for as
long as it likes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from referencing import Registry

LONGEST: Final = 64 * 1024
MOST_PROBLEMS: Final = 5
_NAMED: Final = ("properties", "$defs", "definitions", "dependentSchemas")


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """Why a schema is not taken. `path` leads to the place in it; `code` is too_long, invalid_schema,
    not_available (regular expressions) or foreign_ref."""

    code: str
    message: str
    path: tuple[str | int, ...] = ()


def fault_of(schema: Any) -> SchemaFault | None:
    """The first reason not to use a schema, None for a good one."""
    try:
        if len(json.dumps(schema)) > LONGEST:
            return SchemaFault("too_long", f"Longer than {LONGEST // 1024} KiB.")
        Draft202012Validator.check_schema(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    except SchemaError as error:
        return SchemaFault(
            "invalid_schema",
            f"Not a JSON Schema (2020-12): {error.message[:300]}",
            tuple(error.absolute_path),
        )
    except RecursionError:
        return SchemaFault("invalid_schema", "It is nested too deeply.")
    if has_pattern(schema):
        return SchemaFault(
            "not_available", "Regular expressions (pattern, patternProperties) are not available."
        )
    return _foreign_reference(schema)


def problems_of(value: Any, schema: Any) -> list[str]:
    """What is wrong with a value, at most five problems, each with its place; whatever is wrong with the schema
    is a problem too."""
    try:
        validator = validator_for(schema)(schema, registry=Registry())
        errors = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    except Exception as error:  # a broken schema surfaces as whatever the broken keyword's check runs into
        return [f"the schema itself is invalid: {str(error)[:200]}"]
    return [
        f"{'/'.join(map(str, error.absolute_path)) or 'the object'}: {error.message[:300]}"
        for error in errors[:MOST_PROBLEMS]
    ]


def has_pattern(schema: Any) -> bool:
    """Whether a schema brings regular expressions. A property that is only called `pattern` is not one."""
    pending: list[tuple[Any, bool]] = [(schema, False)]
    while pending:
        part, names = pending.pop()
        if isinstance(part, Mapping):
            if not names and ("pattern" in part or "patternProperties" in part):
                return True
            pending.extend((value, not names and key in _NAMED) for key, value in part.items())
        elif isinstance(part, list):
            pending.extend((value, False) for value in part)
    return False


def _foreign_reference(schema: Any) -> SchemaFault | None:
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, Mapping):
            for name in ("$ref", "$dynamicRef"):
                reference = part.get(name)
                if isinstance(reference, str) and not reference.startswith("#"):
                    return SchemaFault("foreign_ref", f"{name} may only point into the schema itself.")
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return None
