"""Writes of tools, and what calls of them need from the database."""

import json
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from networks.models import Project
from web.jsonschemas import fault_of
from web.problems import Conflict, FieldError, Invalid, NotAvailable, Problem
from web.strictjson import escape

from . import crypto
from .models import Tool
from .tools.base import Effect, ToolSpec
from .tools.registry import config_problems, described

Values = Mapping[str, Any]


def create_tool(*, project: Project, values: Values) -> Tool:
    """Add a tool. `values` are fields of `Tool`, and `secrets` by name, which are kept encrypted and never shown."""
    tool = Tool(project=project)
    return _save(tool, values)


def update_tool(*, tool: Tool, changes: Values) -> Tool:
    """Change a tool. Secrets given replace those of the same name; null removes one. Runs that have begun keep
    the config of their snapshot, and take the secrets of now."""
    return _save(tool, changes)


def delete_tool(*, tool: Tool) -> None:
    """Remove a tool. Its calls stay in the ledger; agents and workflows that name it say so when validated."""
    tool.delete()


def spec_of(tool: Tool) -> ToolSpec:
    """A tool as it is called and as models are told of it."""
    return described(
        ToolSpec(
            tool.pk,
            tool.name,
            tool.type,
            tool.description,
            tool.config,
            tool.input_schema,
            tool.output_schema,
            Effect(tool.effect),
        )
    )


def secrets_of(tool: Tool) -> dict[str, str]:
    """The decrypted secrets of a tool, by name. Raises `crypto.CannotDecrypt`."""
    if not tool.encrypted_secrets:
        return {}
    found: dict[str, str] = json.loads(crypto.decrypt(tool.encrypted_secrets))
    return found


def _save(tool: Tool, values: Values) -> Tool:
    secrets = values.get("secrets")
    for name, value in values.items():
        if name != "secrets":
            setattr(tool, name, value)
    check_tool(tool)
    if secrets is not None:
        kept = {**secrets_of(tool), **secrets}
        kept = {name: value for name, value in kept.items() if value is not None}
        tool.encrypted_secrets = crypto.encrypt(json.dumps(kept)) if kept else None
    try:
        with transaction.atomic():
            tool.save()
    except IntegrityError as error:
        if "tool_project_name" in str(error):
            raise Conflict("conflict", f"The project has a tool called {tool.name!r}.") from None
        raise
    return tool


def check_tool(tool: Tool) -> None:
    """Raise `Problem` for a config that its type does not take, or a schema that cannot be checked by."""
    problems = config_problems(tool.type, tool.config)
    if problems:
        errors = [FieldError(_pointer(problem), "invalid", problem) for problem in problems]
        raise Problem("validation_failed", problems[0], errors=errors)
    for field in ("input_schema", "output_schema"):
        schema = getattr(tool, field)
        if schema and (fault := fault_of(schema)):
            pointer = f"/{field}" + "".join(f"/{escape(part)}" for part in fault.path)
            if fault.code == "not_available":
                raise NotAvailable(pointer, fault.message)
            raise Invalid(pointer, fault.message, fault.code)
    if tool.input_schema and tool.input_schema.get("type", "object") != "object":
        raise Invalid("/input_schema/type", "A tool is called with an object.")


def _pointer(problem: str) -> str:
    """A problem begins with the place it is about, as `place/place: …`."""
    place = problem.partition(":")[0]
    return "/type" if place == "type" else "/config" if place == "the object" else f"/config/{place}"
