"""Chat Completions as a wire format (developers.openai.com/api/reference/chat)."""

import time
from typing import Any

import orjson

from agents.providers.types import FinishReason, Message, ModelRequest, OutputSchema, ToolCall, ToolDefinition

from .vendor_script import Reply
from .vendor_wire import Ask, BadRequest, pieces, schema_in, sse, text_of

_FINISH = {
    FinishReason.STOP: "stop",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.MAX_TOKENS: "length",
    FinishReason.REFUSAL: "content_filter",
}
ERRORS = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class ChatWire:
    id_header = "x-request-id"

    def api_key(self, headers: dict[str, str]) -> str:
        return headers.get("authorization", "").removeprefix("Bearer ")

    def parse(self, path: str, body: dict[str, Any]) -> Ask:
        if not body.get("messages"):
            raise BadRequest("messages is required")
        if body["model"].startswith("gpt-6") and (body.get("tools") or "max_tokens" in body):
            raise BadRequest("Function tools and max_tokens are not supported for this model here")
        messages = tuple(_message(message) for message in body["messages"])
        system = "\n".join(message.content for message in messages if message.role == "system")
        output = schema_in(system)
        if (form := body.get("response_format")) and form["type"] == "json_schema":
            output = OutputSchema(form["json_schema"]["name"], form["json_schema"]["schema"])
            check_strict(form["json_schema"])
        functions = [tool["function"] for tool in body.get("tools", ())]
        request = ModelRequest(
            model=body["model"],
            messages=messages,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens") or 4096,
            stop=tuple(body.get("stop") or ()),
            tools=tuple(
                ToolDefinition(function["name"], function.get("description", ""), function["parameters"])
                for function in functions
            ),
            tool_choice=body.get("tool_choice", "auto"),
            output_schema=output,
        )
        return Ask(request, bool(body.get("stream")), body)

    def whole(self, ask: Ask, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
        if reply.tool_calls:
            message["tool_calls"] = [_call(call) for call in reply.tool_calls]
        choice = {"index": 0, "message": message, "finish_reason": _finish(reply), "logprobs": None}
        return _envelope(ask, reply, "chat.completion") | {"choices": [choice], "usage": _usage(reply)}

    def events(self, ask: Ask, reply: Reply) -> list[bytes]:
        envelope = _envelope(ask, reply, "chat.completion.chunk")
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in pieces(reply.text)]
        for index, call in enumerate(reply.tool_calls):
            head = {"index": index, "id": call.id, "type": "function"}
            deltas.append({"tool_calls": [head | {"function": {"name": call.name, "arguments": ""}}]})
            arguments = orjson.dumps(dict(call.arguments)).decode()
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in pieces(arguments, 12)
            ]
        frames = [
            sse(envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            for delta in deltas
        ]
        frames.append(
            sse(envelope | {"choices": [{"index": 0, "delta": {}, "finish_reason": _finish(reply)}]})
        )
        if (ask.body.get("stream_options") or {}).get("include_usage"):
            frames.append(sse(envelope | {"choices": [], "usage": _usage(reply)}))
        return [*frames, b"data: [DONE]\n\n"]

    def unfinished(self, whole: dict[str, Any]) -> dict[str, Any]:
        return whole | {"choices": [whole["choices"][0] | {"finish_reason": None}]}

    def wrong_types(self, whole: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": 42, "tool_calls": "none"}
        return whole | {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": "none",
        }

    def wrong_event(self) -> bytes:
        return sse({"id": 1, "model": 2, "choices": "none"})

    def error(self, status: int, error: str, message: str) -> Any:
        return openai_error(status, error, message)

    def error_event(self, error: str, message: str) -> bytes:
        return sse(openai_error(503, error, message))


def openai_error(status: int, error: str, message: str) -> dict[str, Any]:
    """Return an error body as both of the vendor's APIs shape it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": error or ERRORS.get(status)}}


def check_strict(form: dict[str, Any]) -> None:
    """Refuse a strict schema that is not strict, as the vendor does."""
    if form.get("strict"):
        _check_object(form["schema"])


def _check_object(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            missing = set(schema.get("properties", ())) - set(schema.get("required", ()))
            if schema.get("additionalProperties") is not False or missing:
                raise BadRequest(f"Invalid schema for response_format: {missing or 'additionalProperties'}")
        for value in schema.values():
            _check_object(value)


def _message(message: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    )
    return Message(message["role"], text_of(message["content"]), calls, message.get("tool_call_id"))


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = orjson.dumps(dict(call.arguments)).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _finish(reply: Reply) -> str:
    return reply.stop_reason or _FINISH[reply.finish]


def _envelope(ask: Ask, reply: Reply, kind: str) -> dict[str, Any]:
    model = reply.model or ask.body["model"]
    return {"id": f"chatcmpl-{ask.call_id}", "object": kind, "created": int(time.time()), "model": model}


def _usage(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
