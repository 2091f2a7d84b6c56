"""OpenAI through the Responses API (`POST /v1/responses`; protocol: developers.openai.com/api/reference).

Why not Chat Completions: there the GPT-6 and GPT-5.6 families refuse function tools with a 400 unless their
reasoning is switched off, and reasoning is lost between the calls of one turn. Responses is asked
statelessly (`store=False`); reasoning comes back encrypted and is returned with its turn, unread.
The API knows no stop sequences, so the text is cut here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import openai

from agents.resilience.ports import Credential

from . import reading, translate
from .http import TIMEOUT, open_client
from .openai_reply import NAME, Reader
from .sdk import Ask, SdkProvider
from .types import Capabilities, Message, ModelRequest, Opaque


class OpenAIProvider(SdkProvider):
    """One OpenAI account."""

    name = NAME

    def __init__(self, credential: Credential, capabilities: Callable[[str], Capabilities]) -> None:
        super().__init__(credential, capabilities)
        self._client = openai.AsyncOpenAI(
            api_key=credential.api_key,
            base_url=credential.base_url or None,
            max_retries=0,  # the SDK would retry twice behind our back
            timeout=TIMEOUT,
            http_client=open_client(),
        )

    def prepare(self, request: ModelRequest, capabilities: Capabilities) -> tuple[Ask, Reader]:
        params = build(request, capabilities) | {"stream": request.stream}
        return partial(self._client.responses.create, **params), Reader(request.model, request.stop)

    async def aclose(self) -> None:
        await self._client.close()


def build(request: ModelRequest, capabilities: Capabilities) -> dict[str, Any]:
    """Return the request body, as keyword arguments of the SDK."""
    params: dict[str, Any] = {
        "model": request.model,
        "input": [item for turn in translate.turns(request) for item in _items(turn, request.model)],
        "max_output_tokens": min(request.max_tokens, capabilities.max_output),
        "store": False,
        **translate.sampling(request, capabilities),
    }
    if capabilities.thinking_blocks or not capabilities.sampling:  # the reasoning families
        params["include"] = ["reasoning.encrypted_content"]
    if system := translate.instructions(request, schema_in_prompt=not capabilities.json_schema):
        params["instructions"] = system
    if request.tools:
        params["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                "strict": translate.is_strict(tool.parameters),
            }
            for tool in request.tools
        ]
        if request.tool_choice != "required" or capabilities.forced_tool_choice:
            params["tool_choice"] = request.tool_choice
    if request.output_schema is not None and capabilities.json_schema:
        schema = request.output_schema.schema
        params["text"] = {
            "format": {
                "type": "json_schema",
                "name": translate.wire_name(request.output_schema.name),
                "schema": dict(schema),
                "strict": translate.is_strict(schema),
            }
        }
    return params


def _items(turn: Message, model: str) -> list[dict[str, Any]]:
    if turn.role == "tool":
        call_id = translate.wire_id(turn.tool_call_id or "")
        return [{"type": "function_call_output", "call_id": call_id, "output": turn.content}]
    opaque = translate.opaque_for(turn, NAME, model)
    if opaque and _same_turn(opaque, turn):
        return [dict(block) for block in opaque.blocks]
    items: list[dict[str, Any]] = [{"role": turn.role, "content": turn.content}] if turn.content else []
    for call in turn.tool_calls:
        items.append(
            {
                "type": "function_call",
                "call_id": translate.wire_id(call.id),
                "name": call.name,
                "arguments": reading.json_text(dict(call.arguments)),
            }
        )
    return items


def _same_turn(opaque: Opaque, turn: Message) -> bool:
    """Tell whether the items still say what the turn says: it may have been redacted or trimmed since."""
    parts = [part for item in opaque.blocks if item["type"] == "message" for part in item["content"]]
    said = "".join(part.get("text", "") for part in parts)
    calls = [item["call_id"] for item in opaque.blocks if item["type"] == "function_call"]
    return said == turn.content and calls == [call.id for call in turn.tool_calls]
