"""Gemini through `models.generateContent` (protocol: ai.google.dev/api/generate-content, v1beta).

Traps of the SDK, each avoided here: with aiohttp installed it would use it and silently repeat a failed
connection after 1 to 10 s (own httpx2 client); it would run tools by itself (automatic function calling
off) and send further requests to continue a reply (automatic continuation off).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import httpx2
from google import genai
from google.genai import types as gemini

from agents.resilience.ports import Credential

from . import reading, translate
from .google_reply import NAME, Reader
from .http import open_client
from .sdk import Ask, SdkProvider
from .types import Capabilities, Message, ModelRequest, Opaque

# The documented stand-in for a signature another model cannot have made; without one Gemini 3 answers 400.
_NO_SIGNATURE = b"skip_thought_signature_validator"


class GoogleProvider(SdkProvider):
    """One Gemini API key."""

    name = NAME

    def __init__(self, credential: Credential, capabilities: Callable[[str], Capabilities]) -> None:
        super().__init__(credential, capabilities)
        self._http = open_client()
        self._http.event_hooks = {"response": [_hold]}
        self._client = genai.Client(  # kept: a dropped Client closes its sockets
            vertexai=False,
            api_key=credential.api_key,
            http_options=gemini.HttpOptions(
                base_url=credential.base_url or None,
                api_version="v1beta",
                httpx_async_client=self._http,
                timeout=600_000,  # ms; the SDK passes "none at all" otherwise
            ),
        )

    def prepare(self, request: ModelRequest, capabilities: Capabilities) -> tuple[Ask, Reader]:
        params: dict[str, Any] = {
            "model": request.model,
            "contents": _contents(request, capabilities),
            "config": build(request, capabilities),
        }
        ask = partial(self._open, params) if request.stream else partial(self._send, params)
        return ask, Reader(request.model)

    async def aclose(self) -> None:
        await self._http.aclose()
        self._client.close()

    async def _send(self, params: dict[str, Any]) -> gemini.GenerateContentResponse:
        _held.set([])
        return await self._client.aio.models.generate_content(**params)

    async def _open(self, params: dict[str, Any]) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        held: list[httpx2.Response] = []
        _held.set(held)
        events = await self._client.aio.models.generate_content_stream(**params)
        # The SDK sends the request with the first event only: ask for that one now, so that a failure
        # to connect is told from a cut stream.
        first = await anext(events, None)
        return _closing(first, events, held)


async def _hold(response: httpx2.Response) -> None:
    _held.get().append(response)


# The responses of the call being made. Only by holding them can a stream be closed: the SDK's generators
# form a cycle, and their socket would stay open until the garbage collector comes by.
_held: ContextVar[list[httpx2.Response]] = ContextVar("held")


@asynccontextmanager
async def _closing(
    first: Any | None, rest: AsyncIterator[Any], held: list[httpx2.Response]
) -> AsyncGenerator[AsyncIterator[Any], None]:
    async def events() -> AsyncGenerator[Any, None]:
        if first is not None:
            yield first
        async for event in rest:
            yield event

    try:
        async with aclosing(events()) as chained:
            yield chained
    finally:
        for response in held:
            await response.aclose()


def build(request: ModelRequest, capabilities: Capabilities) -> gemini.GenerateContentConfig:
    """Return the request's configuration, as the SDK's model (it validates)."""
    params: dict[str, Any] = {
        "max_output_tokens": min(request.max_tokens, capabilities.max_output),
        "automatic_function_calling": {"disable": True},
        "automatic_continuation": False,
        **translate.sampling(request, capabilities),
    }
    if system := translate.instructions(request, schema_in_prompt=not capabilities.json_schema):
        params["system_instruction"] = system
    if request.stop:
        params["stop_sequences"] = list(request.stop)
    if request.tools:
        declarations = [
            {
                "name": tool.name,
                "description": tool.description,
                "parameters_json_schema": dict(tool.parameters),
            }
            for tool in request.tools
        ]
        params["tools"] = [{"function_declarations": declarations}]
        mode = {"auto": "AUTO", "none": "NONE", "required": "ANY"}[request.tool_choice]
        if mode != "ANY" or capabilities.forced_tool_choice:
            params["tool_config"] = {"function_calling_config": {"mode": mode}}
    if request.output_schema is not None and capabilities.json_schema:
        params["response_mime_type"] = "application/json"
        params["response_json_schema"] = dict(request.output_schema.schema)
    return gemini.GenerateContentConfig(**params)


def _contents(request: ModelRequest, capabilities: Capabilities) -> list[gemini.Content]:
    turns = translate.turns(request)
    names = {call.id: call.name for turn in turns for call in turn.tool_calls}
    contents: list[gemini.Content] = []
    for turn in turns:
        role = "model" if turn.role == "assistant" else "user"
        parts = [
            gemini.Part.model_validate(part) for part in _parts(turn, names, request.model, capabilities)
        ]
        if not parts:
            continue
        if contents and contents[-1].role == role:  # results of parallel calls belong together
            contents[-1].parts = [*(contents[-1].parts or ()), *parts]
        else:
            contents.append(gemini.Content(role=role, parts=parts))
    return contents


def _parts(
    turn: Message, names: dict[str, str], model: str, capabilities: Capabilities
) -> list[dict[str, Any]]:
    if turn.role == "tool":
        call_id = turn.tool_call_id or ""
        return [
            {
                "function_response": {
                    "id": translate.wire_id(call_id),
                    "name": names.get(call_id, "tool"),
                    "response": _as_object(turn.content),
                }
            }
        ]
    opaque = translate.opaque_for(turn, NAME, model)
    if opaque and _same_turn(opaque, turn):
        return [dict(block) for block in opaque.blocks]
    parts: list[dict[str, Any]] = [{"text": turn.content}] if turn.content else []
    for position, call in enumerate(turn.tool_calls):
        part: dict[str, Any] = {
            "function_call": {
                "id": translate.wire_id(call.id),
                "name": call.name,
                "args": dict(call.arguments),
            }
        }
        if position == 0 and capabilities.thinking_blocks:
            part["thought_signature"] = _NO_SIGNATURE
        parts.append(part)
    return parts


def _as_object(content: str) -> dict[str, Any]:
    """A function's result must be an object here."""
    value = reading.parsed(content)
    return value if isinstance(value, dict) else {"result": value}


def _same_turn(opaque: Opaque, turn: Message) -> bool:
    """Tell whether the parts still say what the turn says: it may have been redacted or trimmed since."""
    said = "".join(part.get("text", "") for part in opaque.blocks if not part.get("thought"))
    calls = [part["functionCall"]["id"] for part in opaque.blocks if "functionCall" in part]
    return said == turn.content and calls == [call.id for call in turn.tool_calls]
