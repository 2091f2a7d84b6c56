"""Claude through the Messages API (`POST /v1/messages`; protocol: platform.claude.com/docs/en/api/messages).

Temperature and top_p are never sent: the API version the SDK speaks (2026-10-21) answers 400 to them, for
every model. JSON output uses the API's own mode (`output_config.format`) where the schema is closed, a forced tool
where the model still allows one, and the prompt otherwise. Thinking blocks go back only to the model
that made them, and only with the very turn they belong to.
"""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any, Literal

import anthropic

from agents.resilience.ports import Credential

from . import translate
from .anthropic_reply import NAME, Reader
from .http import TIMEOUT, open_client
from .sdk import Ask, SdkProvider
from .types import Capabilities, Message, ModelRequest, Opaque

_SchemaMode = Literal["", "native", "tool", "prompt"]


class AnthropicProvider(SdkProvider):
    """One Anthropic account."""

    name = NAME

    def __init__(self, credential: Credential, capabilities: Callable[[str], Capabilities]) -> None:
        super().__init__(credential, capabilities)
        self._client = anthropic.AsyncAnthropic(
            api_key=credential.api_key,
            base_url=credential.base_url or None,
            max_retries=0,  # the SDK would retry twice behind our back
            timeout=TIMEOUT,
            http_client=open_client(),
        )

    def prepare(self, request: ModelRequest, capabilities: Capabilities) -> tuple[Ask, Reader]:
        mode = _schema_mode(request, capabilities)
        params = build(request, capabilities, mode) | {"stream": request.stream}
        ask = partial(self._client.messages.create, **params)
        return ask, Reader(request.model, output_tool=mode == "tool")

    async def aclose(self) -> None:
        await self._client.close()


def build(request: ModelRequest, capabilities: Capabilities, mode: _SchemaMode) -> dict[str, Any]:
    """Return the request body, as keyword arguments of the SDK."""
    params: dict[str, Any] = {
        "model": request.model,
        "max_tokens": min(request.max_tokens, capabilities.max_output),
        "messages": _messages(request),
    }
    if system := translate.instructions(request, schema_in_prompt=mode == "prompt"):
        params["system"] = system
    if request.stop:
        params["stop_sequences"] = list(request.stop)
    if request.tools:
        params["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
            for tool in request.tools
        ]
        choice = {"required": "any"}.get(request.tool_choice, request.tool_choice)
        if choice != "any" or capabilities.forced_tool_choice:
            params["tool_choice"] = {"type": choice}
    output = request.output_schema
    if output is not None and mode == "native":
        schema = anthropic.transform_schema(dict(output.schema))
        params["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    elif output is not None and mode == "tool":
        name = translate.wire_name(output.name)
        description = "Give the answer in this form."
        params["tools"] = [{"name": name, "description": description, "input_schema": dict(output.schema)}]
        params["tool_choice"] = {"type": "tool", "name": name}
    return params


def _schema_mode(request: ModelRequest, capabilities: Capabilities) -> _SchemaMode:
    if request.output_schema is None:
        return ""
    if capabilities.json_schema and translate.is_closed(request.output_schema.schema):
        return "native"
    return "tool" if capabilities.forced_tool_choice and not request.tools else "prompt"


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    """Return the turns; neighbours of one role are one message, so all tool results answer together."""
    turns = translate.turns(request)
    messages = []
    for role, group in groupby(turns, key=lambda turn: "assistant" if turn.role == "assistant" else "user"):
        content = [block for turn in group for block in _blocks(turn, request.model)]
        if content:
            messages.append({"role": role, "content": content})
    return messages


def _blocks(turn: Message, model: str) -> list[dict[str, Any]]:
    if turn.role == "tool":
        call_id = translate.wire_id(turn.tool_call_id or "")
        return [{"type": "tool_result", "tool_use_id": call_id, "content": turn.content}]
    opaque = translate.opaque_for(turn, NAME, model)
    if opaque and _same_turn(opaque, turn):
        return [dict(block) for block in opaque.blocks]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": turn.content}] if turn.content else []
    for call in turn.tool_calls:
        blocks.append(
            {
                "type": "tool_use",
                "id": translate.wire_id(call.id),
                "name": call.name,
                "input": dict(call.arguments),
            }
        )
    return blocks


def _same_turn(opaque: Opaque, turn: Message) -> bool:
    """Tell whether the blocks still say what the turn says: it may have been redacted or trimmed since."""
    said = "".join(block["text"] for block in opaque.blocks if block["type"] == "text")
    calls = [block["id"] for block in opaque.blocks if block["type"] == "tool_use"]
    return said == turn.content and calls == [call.id for call in turn.tool_calls]
