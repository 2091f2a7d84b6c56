"""The types of tools, and the call of any of them: checked before, checked after. Pure."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from web.jsonschemas import problems_of

from . import builtin, function, http, mcp
from .base import Caller, Effect, Surroundings, ToolFailed, ToolKind, ToolSpec

TOOL_TYPES: Final[Mapping[str, ToolKind]] = {
    "http": http.call,
    "function": function.call,
    "builtin": builtin.call,
    "mcp": mcp.call,
}
LONGEST_CALL: Final = 300.0  # seconds


def config_problems(type_: str, config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a tool's config, nothing for a good one."""
    match type_:
        case "http":
            return problems_of(config, http.CONFIG_SCHEMA) or http.address_problems(config)
        case "mcp":
            found = problems_of(config, mcp.CONFIG_SCHEMA)
            return found or (http.address_problems(config) if "url" in config else [])
        case "function":
            found = problems_of(config, function.CONFIG_SCHEMA)
            if not found and config["function"] not in function.FUNCTIONS:
                known = ", ".join(sorted(function.FUNCTIONS)) or "none"
                return [f"function: {config['function']!r} is not registered here; there are: {known}"]
            return found
        case "builtin":
            name = str(config.get("function", ""))
            schema = builtin.config_schema(name)
            if schema is None:
                return [f"function: there is no builtin {name!r}; there are: {', '.join(builtin.BUILTINS)}"]
            return problems_of(config, schema)
    return [f"type: {type_} tools are not available"]


def described(spec: ToolSpec) -> ToolSpec:
    """A tool with what its kind knows of itself where the tool does not say: description, schemas, effect."""
    own: Mapping[str, Any] = {}
    effect = spec.effect
    if spec.type == "builtin" and (known := builtin.BUILTINS.get(str(spec.config.get("function", "")))):
        own = {"description": known.description, "input_schema": known.input_schema}
        effect = known.effect
    elif spec.type == "function" and (
        registered := function.FUNCTIONS.get(str(spec.config.get("function", "")))
    ):
        own = {
            "description": registered.description,
            "input_schema": registered.input_schema,
            "output_schema": registered.output_schema,
        }
        effect = registered.effect
    elif spec.type == "http" and spec.config.get("method") in http.SAFE_METHODS and effect is Effect.UNSAFE:
        effect = Effect.READ_ONLY
    return ToolSpec(
        spec.id,
        spec.name,
        spec.type,
        spec.description or own.get("description", ""),
        spec.config,
        spec.input_schema or own.get("input_schema", {}),
        spec.output_schema or own.get("output_schema", {}),
        effect,
    )


async def call_tool(spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings) -> Any:
    """Call a tool of any type, with arguments and result checked against its schemas.

    Raises `ToolFailed` and nothing else; "bad_arguments" means that nothing was called.
    """
    if spec.input_schema and (problems := problems_of(dict(arguments), spec.input_schema)):
        raise ToolFailed("bad_arguments", "; ".join(problems)[:1000])
    kind = TOOL_TYPES.get(spec.type)
    if kind is None:
        raise ToolFailed("not_available", f"{spec.type} tools are not available.")
    try:
        async with asyncio.timeout(LONGEST_CALL):
            result = await kind(spec, arguments, caller, world)
    except TimeoutError:
        raise ToolFailed(
            "tool_timeout", f"No result within {LONGEST_CALL:g} s.", retryable=True, unknown=True
        ) from None
    if spec.output_schema and (problems := problems_of(result, spec.output_schema)):
        raise ToolFailed("bad_tool_answer", "; ".join(problems)[:1000])
    return result
