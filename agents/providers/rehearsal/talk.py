"""Plain conversation, as on the phone or in a workflow's agent node, and calls to tools."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..types import Message, ModelRequest, ToolCall, ToolDefinition
from .brief import Brief, alike, words
from .fit import fit

_NOTICE = "Rehearsal: no model was called."
BLOCK = re.compile(r'<data name="[a-z_]+">\n.*?\n</data>', re.DOTALL)


def say(request: ModelRequest, blocks: Mapping[str, Any]) -> str:
    """Answer from what tools and given items say, else repeat what was understood."""
    asked = BLOCK.sub("", last_user(request.messages)).strip()
    told = tool_results(request.messages)
    if told:
        return f"The tool answered: {told[-1].content[:400]}\n{_NOTICE}"
    items = [item for value in blocks.values() if isinstance(value, list) for item in value]
    known = [item for item in items if isinstance(item, Mapping) and isinstance(item.get("content"), str)]
    if known:
        best = max(known, key=lambda item: shared(asked, item["content"]))
        source = best.get("source") or best.get("title") or best.get("id") or "shared memory"
        return f"According to {source}: {best['content'][:400]}\n{_NOTICE}"
    if not asked:
        return f"I am ready. {_NOTICE}"
    return f"You said: {asked[:400]}\n{_NOTICE}"


def tool_call(request: ModelRequest) -> ToolCall | None:
    """Return the one call to make: of the tool the last message speaks of, else of any if one must be."""
    if not request.tools or request.tool_choice == "none" or tool_results(request.messages):
        return None
    asked = last_user(request.messages)
    best = max(request.tools, key=lambda tool: shared(asked, tool.name.replace("_", " ")))
    if request.tool_choice != "required" and not shared(asked, best.name.replace("_", " ")):
        return None
    return ToolCall(f"call_rehearsal_{len(request.messages)}", best.name, _arguments(best, asked))


def _arguments(tool: ToolDefinition, asked: str) -> Mapping[str, Any]:
    brief = Brief.of({"task": {"description": asked}})
    value = fit({}, tool.parameters, lambda name: asked[:200] or brief.say(name))
    return value if isinstance(value, dict) else {}


def tool_results(messages: Sequence[Message]) -> list[Message]:
    """Return the tool results since the last user message."""
    found: list[Message] = []
    for message in messages:
        found = [] if message.role == "user" else [*found, message] if message.role == "tool" else found
    return found


def last_user(messages: Sequence[Message]) -> str:
    """Return the last user message."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def shared(one: str, other: str) -> int:
    """Count the words of one text that the other has, too."""
    others = words(other)
    return sum(any(alike(word, known) for known in others) for word in words(one))
