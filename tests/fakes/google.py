"""Gemini's generateContent, whole and streamed, as a wire format (ai.google.dev/api/generate-content)."""

import base64
import re
from typing import Any

import orjson

from agents.providers.types import FinishReason, Message, ModelRequest, OutputSchema, ToolCall, ToolDefinition

from .vendor_script import Reply
from .vendor_wire import Ask, BadRequest, pieces, schema_in, sse, text_of

_FINISH = {
    FinishReason.STOP: "STOP",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.MAX_TOKENS: "MAX_TOKENS",
    FinishReason.REFUSAL: "SAFETY",
}
_ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_SKIP = base64.urlsafe_b64encode(b"skip_thought_signature_validator").decode()


class GoogleWire:
    id_header = "x-goog-request-id"

    def api_key(self, headers: dict[str, str]) -> str:
        return headers.get("x-goog-api-key", "")

    def parse(self, path: str, body: dict[str, Any]) -> Ask:
        found = re.search(r"/v1beta/models/([^:/]+):(stream)?[gG]enerateContent$", path)
        if not found:
            raise BadRequest("no such method")
        if not body.get("contents"):
            raise BadRequest("contents is not specified")
        model, stream = found[1], bool(found[2])
        _check_signatures(model, body["contents"])
        system = text_of((body.get("systemInstruction") or {}).get("parts"))
        messages = [Message("system", system)] if system else []
        for content in body["contents"]:
            messages += _messages(content)
        config = body.get("generationConfig") or {}
        output = schema_in(system)
        if schema := config.get("responseJsonSchema"):
            output = OutputSchema("", schema)
        declarations = [each for tool in body.get("tools", ()) for each in tool["functionDeclarations"]]
        mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
        request = ModelRequest(
            model=model,
            messages=tuple(messages),
            max_tokens=config.get("maxOutputTokens") or 4096,
            stop=tuple(config.get("stopSequences", ())),
            tools=tuple(
                ToolDefinition(each["name"], each.get("description", ""), _parameters(each))
                for each in declarations
            ),
            tool_choice="required" if mode == "ANY" else "none" if mode == "NONE" else "auto",
            output_schema=output,
        )
        return Ask(request, stream, body)

    def whole(self, ask: Ask, reply: Reply) -> dict[str, Any]:
        return _response(ask, reply, _parts(ask, reply), end=True)

    def events(self, ask: Ask, reply: Reply) -> list[bytes]:
        parts: list[dict[str, Any]] = []
        for part in _parts(ask, reply):
            # Thoughts and calls come whole, text in pieces.
            whole = "functionCall" in part or part.get("thought") or "thoughtSignature" in part
            parts += [part] if whole else [{"text": piece} for piece in pieces(part["text"])]
        parts = parts or [{"text": ""}]
        return [
            sse(_response(ask, reply, [part], end=index == len(parts))) for index, part in enumerate(parts, 1)
        ]

    def unfinished(self, whole: dict[str, Any]) -> dict[str, Any]:
        candidate = {key: value for key, value in whole["candidates"][0].items() if key != "finishReason"}
        return whole | {"candidates": [candidate]}

    def wrong_types(self, whole: dict[str, Any]) -> dict[str, Any]:
        return whole | {"candidates": [{"content": {"parts": [{"text": 42}]}, "finishReason": "STOP"}]}

    def wrong_event(self) -> bytes:
        return sse({"candidates": "none", "usageMetadata": "none"})

    def error(self, status: int, error: str, message: str) -> Any:
        kind = error or _ERRORS.get(status, "UNKNOWN")
        return {"error": {"code": status, "message": message, "status": kind}}

    def error_event(self, error: str, message: str) -> bytes:
        return sse(self.error(503, error, message))


def _check_signatures(model: str, contents: list[dict[str, Any]]) -> None:
    """Refuse a call of the present turn without the signature its thought left, as Gemini 3 does."""
    for content in contents if model.startswith("gemini-3") else ():
        calls = [part for part in content.get("parts", ()) if "functionCall" in part]
        if not calls:
            continue
        signature = str(calls[0].get("thoughtSignature", "")).rstrip("=")
        if signature not in (_signature(model).rstrip("="), _SKIP.rstrip("=")):
            raise BadRequest("Function call is missing a thought_signature in functionCall parts.")


def _parameters(declaration: dict[str, Any]) -> dict[str, Any]:
    """JSON of protocol buffers is read in either case, and the SDK writes this field in snake case."""
    return declaration.get("parametersJsonSchema") or declaration.get("parameters_json_schema") or {}


def _signature(model: str) -> str:
    return base64.urlsafe_b64encode(f"by {model}".encode()).decode()


def _messages(content: dict[str, Any]) -> list[Message]:
    parts = content.get("parts", ())
    answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    found = [
        Message("tool", orjson.dumps(answer["response"]).decode(), tool_call_id=answer.get("id"))
        for answer in answers
    ]
    if calls or text:
        parsed = tuple(ToolCall(call.get("id", ""), call["name"], call.get("args") or {}) for call in calls)
        found.append(Message("assistant" if content.get("role") == "model" else "user", text, parsed))
    return found


def _parts(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    signature = _signature(ask.request.model)
    if reply.thinking:
        parts.append({"text": reply.thinking, "thought": True})
    if reply.text:
        parts.append({"text": reply.text})
    for call in reply.tool_calls:
        parts.append({"functionCall": {"id": call.id, "name": call.name, "args": dict(call.arguments)}})
    if reply.thinking and len(parts) > 1:
        first_call = next((part for part in parts if "functionCall" in part), parts[-1])
        first_call["thoughtSignature"] = signature
    return parts


def _response(ask: Ask, reply: Reply, parts: list[dict[str, Any]], *, end: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if end:
        candidate["finishReason"] = reply.stop_reason or _FINISH[reply.finish]
    usage = reply.usage
    return {
        "candidates": [candidate],
        "modelVersion": reply.model or ask.request.model,
        "responseId": ask.call_id,
        "usageMetadata": {
            "promptTokenCount": usage.input,
            "candidatesTokenCount": usage.output - usage.reasoning,
            "thoughtsTokenCount": usage.reasoning,
            "cachedContentTokenCount": usage.cached,
            "totalTokenCount": usage.input + usage.output,
        },
    }
