"""A tool of an MCP server, reached by its address or started by a command that staff have allowed.

    config: {url, headers?, tool, timeout_seconds?} or {command, tool, timeout_seconds?}

`command` is a name of MESH_MCP_COMMANDS, never a command line. Requests go through the same guard as those of
http tools.
"""

import asyncio
import json
import shlex
from collections.abc import Mapping
from typing import Any, Final

import httpx2

from web.egress import Egress, EgressDenied, EgressFailed, EgressRequest

from .base import Caller, Surroundings, ToolFailed, ToolSpec
from .templating import fill, redactor

CONFIG_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "minLength": 8, "maxLength": 2000},
        "headers": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 4000}, "maxProperties": 50},
        "command": {"type": "string", "minLength": 1, "maxLength": 100},
        "tool": {"type": "string", "minLength": 1, "maxLength": 200},
        "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 300},
    },
    "required": ["tool"],
    "oneOf": [{"required": ["url"]}, {"required": ["command"]}],
    "additionalProperties": False,
}  # fmt: skip
_SECONDS: Final = 60.0


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Carries the SDK's requests over our guarded sockets, each with its whole answer."""

    def __init__(self, egress: Egress, seconds: float) -> None:
        self._egress = egress
        self._seconds = seconds

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":  # a stream of the server's own messages, which tools have no use for
            return httpx2.Response(405, request=request)
        dropped = ("host", "content-length", "accept-encoding", "connection")
        headers = {name: value for name, value in request.headers.items() if name not in dropped}
        answer = await self._egress.send(
            EgressRequest(
                request.method, str(request.url), headers, await request.aread(), self._seconds, redirects=0
            )
        )
        kept = [
            (name, value)
            for name, value in answer.headers.items()
            if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        return httpx2.Response(answer.status, headers=kept, content=answer.body, request=request)


async def call(spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings) -> Any:
    """Call the server's tool; returns its structured content, else its text."""
    seconds = float(spec.config.get("timeout_seconds", _SECONDS))
    secrets = await world.secrets.of(spec.id)
    redact = redactor(secrets)
    try:
        async with asyncio.timeout(seconds):
            return _result(await _ask(spec, arguments, secrets, world, seconds), redact)
    except TimeoutError:
        raise ToolFailed(
            "tool_timeout", f"No result within {seconds:g} s.", retryable=True, unknown=True
        ) from None
    except ToolFailed:
        raise
    except Exception as error:
        raise _failure(error, redact) from None


async def _ask(
    spec: ToolSpec,
    arguments: Mapping[str, Any],
    secrets: Mapping[str, str],
    world: Surroundings,
    seconds: float,
) -> Any:
    try:
        from mcp import Client, StdioServerParameters
        from mcp.client.streamable_http import streamable_http_client
    except ImportError:
        raise ToolFailed(
            "not_available", "MCP tools need the package `mcp`, which is not installed here."
        ) from None
    name = str(spec.config["tool"])
    if "command" in spec.config:
        command = world.mcp_commands.get(str(spec.config["command"]))
        if command is None:
            raise ToolFailed("bad_tool_config", f"No MCP command {spec.config['command']!r} is allowed here.")
        program, *rest = shlex.split(command)
        async with Client(StdioServerParameters(command=program, args=rest, env=dict(secrets))) as client:
            return await client.call_tool(name, dict(arguments))
    headers = {key: fill(value, {}, secrets) for key, value in (spec.config.get("headers") or {}).items()}
    transport = GuardedTransport(world.egress, seconds)
    async with (
        httpx2.AsyncClient(transport=transport, headers=headers, timeout=seconds, trust_env=False) as http,
        Client(streamable_http_client(str(spec.config["url"]), http_client=http)) as client,
    ):
        return await client.call_tool(name, dict(arguments))


def _result(answer: Any, redact: Any) -> Any:
    texts = [block.text for block in answer.content if getattr(block, "type", "") == "text"]
    if answer.is_error:
        raise ToolFailed(
            "tool_refused", redact("\n".join(texts)[:1000] or "The tool failed and did not say why.")
        )
    if answer.structured_content is not None:
        return json.loads(redact(json.dumps(answer.structured_content)))
    return redact("\n".join(texts))


def _failure(error: BaseException, redact: Any) -> ToolFailed:
    """The failure inside the groups that the SDK's task groups make of it."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    match error:
        case ToolFailed():
            return error
        case EgressDenied():
            return ToolFailed("address_not_allowed", redact(str(error)))
        case EgressFailed():
            return ToolFailed("tool_unreachable", redact(str(error)), retryable=True, unknown=error.sent)
    return ToolFailed("tool_error", redact(f"{type(error).__name__}: {error}"[:500]), unknown=True)
