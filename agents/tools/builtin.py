"""Tools that come with the service.

    config: {function, …}   function is one of BUILTINS; the rest is its own

Each has its schemas here, so an agent can be given one by its name alone.
"""

import html
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from . import http
from .base import Caller, Effect, Surroundings, ToolFailed, ToolSpec

MEMORY_TYPES: Final = ("fact", "context", "decision", "feedback")

Call = Callable[[ToolSpec, Mapping[str, Any], Caller, Surroundings], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Builtin:
    """One of them. `config` is the JSON Schema of what it is set up with, besides `function`."""

    call: Call
    description: str
    input_schema: Mapping[str, Any]
    effect: Effect = Effect.READ_ONLY
    config: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()


async def _search_memory(
    spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings
) -> Any:
    if world.memory is None or not caller.network_id:
        raise ToolFailed("no_memory", "There is no shared memory here: the run belongs to no network.")
    return {"items": await world.memory.search(caller, arguments["query"], int(arguments.get("limit", 5)))}


async def _remember(spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings) -> Any:
    if world.memory is None or not caller.network_id:
        raise ToolFailed("no_memory", "There is no shared memory here: the run belongs to no network.")
    item = await world.memory.remember(
        caller, arguments.get("type", "fact"), arguments["content"], float(arguments.get("confidence", 0.8))
    )
    return {"memory_id": item}


async def _calculator(
    spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings
) -> Any:
    if world.evaluate is None:
        raise ToolFailed("not_available", "Nothing here evaluates expressions.")
    return {"value": world.evaluate(arguments["expression"])}


async def _current_time(
    spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings
) -> Any:
    name = arguments.get("timezone") or spec.config.get("timezone") or "UTC"
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ToolFailed("bad_arguments", f"There is no time zone {name!r}.") from None
    now = datetime.now(UTC).astimezone(zone)
    return {"time": now.isoformat(timespec="seconds"), "weekday": now.strftime("%A"), "timezone": name}


_PLACE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.]{0,100})\s*\}\}")


async def _render_template(
    spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings
) -> Any:
    """Fill `{{ name }}` in the configured text; with `html`, values are escaped."""
    values: Mapping[str, Any] = arguments.get("values", {})
    escape = html.escape if spec.config.get("html") else str

    def value(match: re.Match[str]) -> str:
        found: Any = values
        for part in match.group(1).split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise ToolFailed(
                    "bad_arguments", f"The template wants {match.group(1)!r}, which is not among the values."
                )
            found = found[part]
        return escape(str(found))

    return {"text": _PLACE.sub(value, str(spec.config.get("template") or arguments.get("template", "")))}


async def _send_email(
    spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings
) -> Any:
    if world.send_email is None:
        raise ToolFailed("not_available", "This installation sends no e-mail: EMAIL_URL is not set.")
    allowed = [str(one).lower() for one in spec.config.get("allowed_recipients", ())]
    to = arguments["to"].strip()
    if allowed and not any(
        to.lower() == one or (one.startswith("@") and to.lower().endswith(one)) for one in allowed
    ):
        raise ToolFailed("recipient_not_allowed", f"Mail to {to} is not allowed by this tool.")
    await world.send_email(to, arguments["subject"], arguments["body"], caller.idempotency_key)
    return {"sent": True, "to": to}


async def _lookup(spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings) -> Any:
    """A look-up is an http tool whose address staff have set."""
    config = {name: value for name, value in spec.config.items() if name != "function"}
    as_http = ToolSpec(
        spec.id, spec.name, "http", spec.description, {"method": "GET", **config}, effect=Effect.READ_ONLY
    )
    return await http.call(as_http, arguments, caller, world)


def _object(required: tuple[str, ...] = (), **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 20_000}
_HTTP: Final = http.CONFIG_SCHEMA["properties"]
_LOOKUP_CONFIG: Final = {
    name: _HTTP[name] for name in ("url", "headers", "query", "auth", "timeout_seconds", "retries", "result")
}

BUILTINS: Final[Mapping[str, Builtin]] = {
    "search_memory": Builtin(
        _search_memory,
        "Search the network's shared memory.",
        _object(("query",), query=_TEXT, limit={"type": "integer", "minimum": 1, "maximum": 50}),
    ),
    "remember": Builtin(
        _remember,
        "Write something to the network's shared memory.",
        _object(
            ("content",),
            content=_TEXT,
            type={"enum": list(MEMORY_TYPES)},
            confidence={"type": "number", "minimum": 0, "maximum": 1},
        ),
        Effect.IDEMPOTENT,
    ),
    "calculator": Builtin(
        _calculator,
        "Evaluate an arithmetic expression, such as (1 + 0.19) * 250.",
        _object(("expression",), expression={**_TEXT, "maxLength": 2000}),
    ),
    "current_time": Builtin(
        _current_time,
        "Tell the date and the time, in a time zone if one is given.",
        _object((), timezone={"type": "string", "maxLength": 60}),
        config={"timezone": {"type": "string", "maxLength": 60}},
    ),
    "render_template": Builtin(
        _render_template,
        "Fill a text template with values.",
        _object((), template=_TEXT, values={"type": "object"}),
        config={"template": _TEXT, "html": {"type": "boolean"}},
    ),
    "send_email": Builtin(
        _send_email,
        "Send an e-mail.",
        _object(
            ("to", "subject", "body"),
            to={"type": "string", "format": "email", "maxLength": 320},
            subject={**_TEXT, "maxLength": 300},
            body=_TEXT,
        ),
        Effect.UNSAFE,
        {"allowed_recipients": {"type": "array", "items": {"type": "string"}, "maxItems": 200}},
    ),
    **{
        name: Builtin(_lookup, description, {"type": "object"}, Effect.READ_ONLY, _LOOKUP_CONFIG, ("url",))
        for name, description in (
            ("analytics", "Look up figures of campaigns and channels."),
            ("campaign", "Look up a campaign."),
            ("user_profile", "Look up what is known of a customer."),
        )
    },
}


def config_schema(function: str) -> Mapping[str, Any] | None:
    """The JSON Schema of a builtin's config, None for a function there is not."""
    builtin = BUILTINS.get(function)
    if builtin is None:
        return None
    return {
        "type": "object",
        "properties": {"function": {"const": function}, **builtin.config},
        "required": ["function", *builtin.required],
        "additionalProperties": False,
    }


async def call(spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings) -> Any:
    """Call the builtin that the config names."""
    builtin = BUILTINS.get(str(spec.config.get("function", "")))
    if builtin is None:
        raise ToolFailed("bad_tool_config", f"There is no builtin {spec.config.get('function')!r}.")
    return await builtin.call(spec, arguments, caller, world)
