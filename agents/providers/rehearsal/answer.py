"""What rehearsal answers: by the purpose of the request, in the shape it asks for."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from agents.prompting import read_blocks

from ..types import FinishReason, Message, ModelRequest, OutputSchema, Reply, ToolCall, Usage
from . import mesh, phone, talk
from .brief import Brief
from .fit import fit

NAME = "rehearsal"
MODEL = "rehearsal"

# A purpose is known by the schema's name, or by a property only its shape has: two vendors' wire
# formats carry no name, and the simulated vendors of the tests answer with this very function.
_PURPOSES = {
    "coordinator_decision": ("task_complete", mesh.decide),
    "specialist_report": ("suggested_memories", mesh.report),
    "synthesis": ("explanation", mesh.synthesize),
}


def answer(request: ModelRequest) -> Reply:
    """Return the one reply rehearsal has for a request. Pure: the same request, the same reply."""
    seen = _text_of(request.messages)
    calls: tuple[ToolCall, ...] = ()
    if request.output_schema is not None:
        text, finish = _object(request.output_schema, seen), FinishReason.STOP
    elif call := (phone if phone.on_the_phone(request) else talk).tool_call(request):
        text, calls, finish = "", (call,), FinishReason.TOOL_CALLS
    else:
        text, finish = _limited(_words(request, seen), request)
    return Reply(
        text=text,
        finish_reason=finish,
        usage=_usage(request, text, calls),
        provider=NAME,
        model=MODEL,
        request_id="rehearsal_" + hashlib.sha256(f"{seen}{request.stop}".encode()).hexdigest()[:16],
        tool_calls=calls,
        truncated=finish is FinishReason.MAX_TOKENS,
    )


def _words(request: ModelRequest, seen: str) -> str:
    if phone.interprets(request):
        return talk.last_user(request.messages)  # nobody is there to translate it
    return phone.say(request) if phone.on_the_phone(request) else talk.say(request, _blocks(seen))


def _object(output: OutputSchema, seen: str) -> str:
    brief = Brief.of(_blocks(seen))
    properties = output.schema.get("properties") or {}
    draft: Mapping[str, Any] = {}
    for name, (mark, write) in _PURPOSES.items():
        if output.name == name or mark in properties:
            draft = write(brief)
            break
    return json.dumps(fit(draft, output.schema, brief.say), ensure_ascii=False)


def _limited(text: str, request: ModelRequest) -> tuple[str, FinishReason]:
    """Honour `stop` and `max_tokens` for plain text. Objects are left whole: half of one is of no use."""
    for sequence in filter(None, request.stop):
        text = text.partition(sequence)[0]
    if len(text) > request.max_tokens * 4:
        return text[: request.max_tokens * 4], FinishReason.MAX_TOKENS
    return text, FinishReason.STOP


def _text_of(messages: tuple[Message, ...]) -> str:
    return "\n".join(message.content for message in messages if message.role == "user")


def _blocks(text: str) -> dict[str, Any]:
    try:
        return read_blocks(text)
    except ValueError:  # a caller's own text that looks like a block
        return {}


def _usage(request: ModelRequest, text: str, calls: tuple[ToolCall, ...]) -> Usage:
    """Count four characters as a token, as a rule of thumb says."""
    asked = sum(len(message.content) for message in request.messages)
    asked += sum(len(str(tool.parameters)) + len(tool.description) for tool in request.tools)
    if request.output_schema is not None:
        asked += len(str(request.output_schema.schema))
    said = len(text) + sum(len(call.name) + len(str(call.arguments)) for call in calls)
    return Usage(input=asked // 4 + 1, output=said // 4 + 1)
