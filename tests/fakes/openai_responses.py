"""The Responses API as a wire format (developers.openai.com/api/reference/responses)."""

import itertools
import time
from typing import Any

import orjson

from agents.providers.types import FinishReason, Message, ModelRequest, OutputSchema, ToolCall, ToolDefinition

from .openai_chat import check_strict, openai_error
from .vendor_script import Reply
from .vendor_wire import Ask, BadRequest, pieces, schema_in, sse, text_of

_REASONS = {FinishReason.MAX_TOKENS: "max_output_tokens", FinishReason.REFUSAL: "content_filter"}


class ResponsesWire:
    id_header = "x-request-id"

    def api_key(self, headers: dict[str, str]) -> str:
        return headers.get("authorization", "").removeprefix("Bearer ")

    def parse(self, path: str, body: dict[str, Any]) -> Ask:
        _check(body)
        instructions = body.get("instructions") or ""
        messages = [Message("system", instructions)] if instructions else []
        messages += [message for item in body["input"] if (message := _message(item))]
        output = schema_in(instructions)
        form = (body.get("text") or {}).get("format", {})
        if form.get("type") == "json_schema":
            output = OutputSchema(form["name"], form["schema"])
            check_strict(form)
        request = ModelRequest(
            model=body["model"],
            messages=tuple(messages),
            max_tokens=body.get("max_output_tokens") or 4096,
            tools=tuple(
                ToolDefinition(tool["name"], tool.get("description", ""), tool["parameters"])
                for tool in body.get("tools", ())
            ),
            tool_choice=body.get("tool_choice", "auto"),
            output_schema=output,
        )
        return Ask(request, bool(body.get("stream")), body)

    def whole(self, ask: Ask, reply: Reply) -> dict[str, Any]:
        reason = reply.stop_reason or _REASONS.get(reply.finish)
        return {
            **_envelope(ask, reply),
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "output": _items(ask, reply),
            "usage": _usage(reply),
        }

    def events(self, ask: Ask, reply: Reply) -> list[bytes]:
        numbers = itertools.count()

        def event(kind: str, **data: Any) -> bytes:
            return sse({"type": kind, "sequence_number": next(numbers), **data}, kind)

        begun = {**_envelope(ask, reply), "status": "in_progress", "output": [], "usage": None}
        frames = [event("response.created", response=begun), event("response.in_progress", response=begun)]
        whole = self.whole(ask, reply)
        for index, item in enumerate(whole["output"]):
            emptied = item | {key: [] for key in ("content",) if key in item} | {"status": "in_progress"}
            if item["type"] == "function_call":
                emptied["arguments"] = ""
            at = {"output_index": index, "item_id": item["id"]}
            frames.append(event("response.output_item.added", output_index=index, item=emptied))
            if item["type"] == "message":
                part = item["content"][0]
                start = part | {"text": ""}
                frames.append(event("response.content_part.added", **at, content_index=0, part=start))
                frames += [
                    event("response.output_text.delta", **at, content_index=0, delta=piece, logprobs=[])
                    for piece in pieces(part["text"])
                ]
                text = part["text"]
                frames.append(
                    event("response.output_text.done", **at, content_index=0, text=text, logprobs=[])
                )
            elif item["type"] == "function_call":
                frames += [
                    event("response.function_call_arguments.delta", **at, delta=piece)
                    for piece in pieces(item["arguments"], 12)
                ]
            frames.append(event("response.output_item.done", output_index=index, item=item))
        return [*frames, event(f"response.{whole['status']}", response=whole)]

    def unfinished(self, whole: dict[str, Any]) -> dict[str, Any]:
        return whole | {"status": "in_progress"}

    def wrong_types(self, whole: dict[str, Any]) -> dict[str, Any]:
        part = {"type": "output_text", "text": 42, "annotations": []}
        return whole | {"output": [{"type": "message", "id": 1, "role": "assistant", "content": [part]}]}

    def wrong_event(self) -> bytes:
        data = {"type": "response.output_text.delta", "output_index": "first", "delta": 42}
        return sse(data, "response.output_text.delta")

    def error(self, status: int, error: str, message: str) -> Any:
        return openai_error(status, error, message)

    def error_event(self, error: str, message: str) -> bytes:
        code = error or "server_error"
        return sse(
            {"type": "error", "code": code, "message": message, "param": None, "sequence_number": 9}, "error"
        )


def _check(body: dict[str, Any]) -> None:
    """Refuse what the vendor refuses."""
    if "stop" in body:
        raise BadRequest("Unknown parameter: 'stop'.")
    if not body.get("input"):
        raise BadRequest("input is required")
    if body["model"].startswith("gpt-6") and ("temperature" in body or "top_p" in body):
        raise BadRequest("Unsupported parameter: 'temperature' is not supported with this model.")
    calls = {item["call_id"] for item in body["input"] if item.get("type") == "function_call"}
    for item in body["input"]:
        if item.get("type") == "function_call_output" and item["call_id"] not in calls:
            raise BadRequest("No tool call found for function call output")
        if item.get("type") == "reasoning" and item.get("encrypted_content") != f"by {body['model']}":
            raise BadRequest("The encrypted content could not be verified")


def _message(item: dict[str, Any]) -> Message | None:
    match item.get("type", "message"):
        case "message":
            return Message(item["role"], text_of(item["content"]))
        case "function_call":
            call = ToolCall(item["call_id"], item["name"], orjson.loads(item["arguments"]))
            return Message("assistant", "", (call,))
        case "function_call_output":
            return Message("tool", item["output"], tool_call_id=item["call_id"])
    return None


def _items(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.thinking:
        item: dict[str, Any] = {"type": "reasoning", "id": f"rs_{ask.call_id}", "summary": []}
        if "reasoning.encrypted_content" in (ask.body.get("include") or ()):
            item["encrypted_content"] = f"by {ask.body['model']}"
        items.append(item)
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{ask.call_id}", "role": "assistant", "status": "completed"}
        items.append(message | {"content": [part]})
    for index, call in enumerate(reply.tool_calls):
        arguments = orjson.dumps(dict(call.arguments)).decode()
        head = {"type": "function_call", "id": f"fc_{ask.call_id}_{index}", "status": "completed"}
        items.append(head | {"call_id": call.id, "name": call.name, "arguments": arguments})
    return items


def _envelope(ask: Ask, reply: Reply) -> dict[str, Any]:
    return {
        "id": f"resp_{ask.call_id}",
        "object": "response",
        "created_at": int(time.time()),
        "model": reply.model or ask.body["model"],
        "error": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _usage(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
