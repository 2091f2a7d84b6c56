"""The Messages API as a wire format (platform.claude.com/docs/en/api/messages)."""

from typing import Any

import orjson

from agents.providers.types import FinishReason, Message, ModelRequest, OutputSchema, ToolCall, ToolDefinition

from .vendor_script import Reply
from .vendor_wire import Ask, BadRequest, pieces, schema_in, sse, text_of

_STOP = {
    FinishReason.STOP: "end_turn",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.MAX_TOKENS: "max_tokens",
    FinishReason.REFUSAL: "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_SAMPLING = ("temperature", "top_p", "top_k")


class AnthropicWire:
    id_header = "request-id"

    def api_key(self, headers: dict[str, str]) -> str:
        return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    def parse(self, path: str, body: dict[str, Any]) -> Ask:
        _check(body)
        messages = [Message("system", text_of(body["system"]))] if body.get("system") else []
        for message in body["messages"]:
            messages += _messages(message)
        tools = tuple(
            ToolDefinition(tool["name"], tool.get("description", ""), tool["input_schema"])
            for tool in body.get("tools", ())
        )
        choice = body.get("tool_choice", {}).get("type", "auto")
        schema = schema_in(text_of(body.get("system", "")))
        if native := body.get("output_config", {}).get("format"):
            schema = OutputSchema("", native["schema"])
        elif choice == "tool":  # the caller's way to ask for an object
            tool = next(tool for tool in tools if tool.name == body["tool_choice"]["name"])
            schema = OutputSchema(tool.name, tool.parameters)
        request = ModelRequest(
            model=body["model"],
            messages=tuple(messages),
            max_tokens=body["max_tokens"],
            stop=tuple(body.get("stop_sequences", ())),
            tools=tools,
            tool_choice="required" if choice == "any" else "none" if choice == "none" else "auto",
            output_schema=schema,
        )
        return Ask(request, bool(body.get("stream")), body)

    def whole(self, ask: Ask, reply: Reply) -> dict[str, Any]:
        return {
            "id": f"msg_{ask.call_id}",
            "type": "message",
            "role": "assistant",
            "model": reply.model or ask.body["model"],
            "content": _blocks(ask, reply),
            "stop_reason": _stop(ask, reply),
            "stop_sequence": None,
            "usage": _usage(reply) | {"output_tokens": reply.usage.output},
        }

    def events(self, ask: Ask, reply: Reply) -> list[bytes]:
        message = self.whole(ask, reply)
        content, reason = message.pop("content"), message.pop("stop_reason")
        start = {**message, "content": [], "stop_reason": None, "usage": _usage(reply) | {"output_tokens": 1}}
        frames = [_event("message_start", message=start), _event("ping")]
        for index, block in enumerate(content):
            frames.append(_event("content_block_start", index=index, content_block=_emptied(block)))
            frames += [_event("content_block_delta", index=index, delta=delta) for delta in _deltas(block)]
            frames.append(_event("content_block_stop", index=index))
        delta = {"stop_reason": reason, "stop_sequence": None}
        frames.append(_event("message_delta", delta=delta, usage=message["usage"]))
        frames.append(_event("message_stop"))
        return frames

    def unfinished(self, whole: dict[str, Any]) -> dict[str, Any]:
        return whole | {"stop_reason": None}

    def wrong_types(self, whole: dict[str, Any]) -> dict[str, Any]:
        return whole | {"content": [{"type": "text", "text": 42}], "usage": "none"}

    def wrong_event(self) -> bytes:
        return _event("content_block_delta", index="first", delta={"type": "text_delta", "text": 42})

    def error(self, status: int, error: str, message: str) -> Any:
        kind = error or _ERRORS.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}

    def error_event(self, error: str, message: str) -> bytes:
        return sse(self.error(529, error, message), "error")


def _check(body: dict[str, Any]) -> None:
    """Refuse what the vendor refuses."""
    if not isinstance(body.get("max_tokens"), int):
        raise BadRequest("max_tokens: Field required")
    if not body.get("messages"):
        raise BadRequest("messages: at least one message is required")
    for name in _SAMPLING:
        if name in body:
            raise BadRequest(f"{name}: Extra inputs are not permitted")
    if body["model"].endswith("-5-5") and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        raise BadRequest("tool_choice: forcing a tool is not supported by this model")
    calls: set[str] = set()
    for message in body["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "text" and not block["text"]:
                raise BadRequest("messages: text content blocks must be non-empty")
            if block["type"] == "tool_result" and block["tool_use_id"] not in calls:
                raise BadRequest("tool_result without a tool_use of its id in the message before")
            if block["type"] == "thinking" and block.get("signature") != f"by {body['model']}":
                raise BadRequest("thinking: Invalid `signature` in `thinking` block")
        calls = {block["id"] for block in _list(message["content"]) if block["type"] == "tool_use"}
    _check_closed((body.get("output_config") or {}).get("format", {}).get("schema", {}))


def _check_closed(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
            raise BadRequest("output_config.format.schema: additionalProperties must be false")
        for value in schema.values():
            _check_closed(value)


def _messages(message: dict[str, Any]) -> list[Message]:
    content = message["content"]
    results = [block for block in _list(content) if block["type"] == "tool_result"]
    calls = [block for block in _list(content) if block["type"] == "tool_use"]
    found = [
        Message("tool", text_of(block["content"]), tool_call_id=block["tool_use_id"]) for block in results
    ]
    if calls or text_of(content):
        parsed = tuple(ToolCall(block["id"], block["name"], block["input"]) for block in calls)
        found.append(Message(message["role"], text_of(content), parsed))
    return found


def _list(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else []


def _blocks(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.thinking:
        signature = f"by {ask.body['model']}"
        blocks.append({"type": "thinking", "thinking": reply.thinking, "signature": signature})
    if reply.text and _as_tool(ask):
        name = ask.body["tool_choice"]["name"]
        return [
            *blocks,
            {"type": "tool_use", "id": "toolu_out", "name": name, "input": orjson.loads(reply.text)},
        ]
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    for call in reply.tool_calls:
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)})
    return blocks


def _as_tool(ask: Ask) -> bool:
    return bool(ask.body.get("tool_choice", {}).get("type") == "tool")


def _stop(ask: Ask, reply: Reply) -> str:
    return reply.stop_reason or ("tool_use" if _as_tool(ask) else _STOP[reply.finish])


def _usage(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "input_tokens": usage.input - usage.cached,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _emptied(block: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {key: empty.get(key, value) if key != "type" else value for key, value in block.items()}


def _deltas(block: dict[str, Any]) -> list[dict[str, Any]]:
    match block["type"]:
        case "text":
            return [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        case "thinking":
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            return [*thoughts, {"type": "signature_delta", "signature": block["signature"]}]
        case _:
            arguments = orjson.dumps(block["input"]).decode()
            return [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(arguments, 12)]


def _event(kind: str, **data: Any) -> bytes:
    return sse({"type": kind, **data}, kind)
