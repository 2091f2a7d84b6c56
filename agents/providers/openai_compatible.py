"""Any server that speaks Chat Completions: vLLM, Ollama, llama.cpp, Azure, gateways.

Protocol: developers.openai.com/api/reference/chat. A query in the base URL goes with every request
(Azure's `?api-version=`), and a host under `azure.com` gets the key as `api-key` too.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import openai

from agents.resilience.ports import Credential

from . import reading, translate
from .chat_reply import NAME, Reader
from .http import TIMEOUT, open_client, split_query
from .sdk import Ask, SdkProvider
from .types import Capabilities, Message, ModelRequest


class OpenAICompatibleProvider(SdkProvider):
    """One server. `credential.model`, when set, is asked for whatever model the request names."""

    name = NAME

    def __init__(self, credential: Credential, capabilities: Callable[[str], Capabilities]) -> None:
        super().__init__(credential, capabilities)
        base_url, query = split_query(credential.base_url)
        azure = (urlsplit(base_url).hostname or "").endswith(".azure.com")
        self._client = openai.AsyncOpenAI(
            api_key=credential.api_key or "none",  # local servers want no key, the SDK wants one
            base_url=base_url or None,
            default_query=query,
            default_headers={"api-key": credential.api_key} if azure else None,
            max_retries=0,  # the SDK would retry twice behind our back
            timeout=TIMEOUT,
            http_client=open_client(),
        )

    def prepare(self, request: ModelRequest, capabilities: Capabilities) -> tuple[Ask, Reader]:
        params = build(request, capabilities) | {"stream": request.stream}
        params["model"] = self._credential.model or request.model
        if request.stream:
            params["stream_options"] = {"include_usage": True}
        return partial(self._client.chat.completions.create, **params), Reader(request.model)

    async def aclose(self) -> None:
        await self._client.close()


def build(request: ModelRequest, capabilities: Capabilities) -> dict[str, Any]:
    """Return the request body, as keyword arguments of the SDK."""
    # Reasoning models refuse `max_tokens`; they are the ones that refuse sampling too. Servers
    # that are not OpenAI's often know only the older name.
    cap = "max_tokens" if capabilities.sampling else "max_completion_tokens"
    params: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(turn) for turn in translate.turns(request)],
        cap: min(request.max_tokens, capabilities.max_output),
        **translate.sampling(request, capabilities),
    }
    if system := translate.instructions(request, schema_in_prompt=not capabilities.json_schema):
        params["messages"].insert(0, {"role": "system", "content": system})
    if request.stop:
        params["stop"] = list(request.stop)
    if request.tools:
        params["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in request.tools
        ]
        if request.tool_choice != "required" or capabilities.forced_tool_choice:
            params["tool_choice"] = request.tool_choice
    if request.output_schema is not None and capabilities.json_schema:
        schema = request.output_schema.schema
        params["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": translate.wire_name(request.output_schema.name),
                "schema": dict(schema),
                "strict": translate.is_strict(schema),
            },
        }
    return params


def _message(turn: Message) -> dict[str, Any]:
    if turn.role == "tool":
        call_id = translate.wire_id(turn.tool_call_id or "")
        return {"role": "tool", "tool_call_id": call_id, "content": turn.content}
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        message["content"] = turn.content or None
        message["tool_calls"] = [
            {
                "id": translate.wire_id(call.id),
                "type": "function",
                "function": {"name": call.name, "arguments": reading.json_text(dict(call.arguments))},
            }
            for call in turn.tool_calls
        ]
    return message
