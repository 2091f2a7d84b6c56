"""What rehearsal says to callers: short, spoken, and the same every time."""

import json
from collections.abc import Mapping
from typing import Any

from agents.prompting import INTERPRET, SPOKEN, read_blocks

from ..types import ModelRequest, ToolCall
from .brief import alike, words
from .fit import fit
from .talk import BLOCK, last_user, shared, tool_results

_REHEARSAL = "This is a rehearsal"
#: Words of a caller that mean a tool; one of whose own name they say all words is meant, too.
_MEANT = {"end_call": {"goodbye"}, "transfer_to_person": {"transfer"}, "remember": {"remember"}}
_LONGEST = 240  # characters of anything that is quoted


def on_the_phone(request: ModelRequest) -> bool:
    """Tell whether the request is for words that are read out to a caller."""
    return _told(request, SPOKEN)


def interprets(request: ModelRequest) -> bool:
    """Tell whether the request is for a translation and nothing else."""
    return _told(request, INTERPRET)


def say(request: ModelRequest) -> str:
    """Answer a caller: from what tools say, else from news, else from what is known, else by repeating."""
    last = last_user(request.messages)
    if told := tool_results(request.messages):
        return f"{_REHEARSAL}. {_of_tool(told[-1].content)}"
    blocks = _blocks(last)
    if isinstance(blocks.get("news"), str):
        return f"{_REHEARSAL}. I have news for you. {_short(blocks['news'])}"
    asked = BLOCK.sub("", last).strip().rpartition("\n")[2].strip()
    known = [item for item in blocks.get("memory") or () if isinstance(item, Mapping) and item.get("content")]
    if known:
        best = max(known, key=lambda item: shared(asked, str(item["content"])))
        if shared(asked, str(best["content"])):
            return f"{_REHEARSAL}. What I know about that: {_short(str(best['content']))}"
    return (
        f"{_REHEARSAL}, no model was called. You said: {_short(asked)}"
        if asked
        else f"{_REHEARSAL}. I am ready."
    )


def tool_call(request: ModelRequest) -> ToolCall | None:
    """Return the call of the tool that the caller names or means; None when it is just talk."""
    if not request.tools or request.tool_choice == "none" or tool_results(request.messages):
        return None
    last = last_user(request.messages)
    if "news" in _blocks(last):
        return None
    asked = BLOCK.sub("", last).strip().rpartition("\n")[2].strip()
    said = words(asked)
    for tool in request.tools:
        named = words(tool.name.replace("_", " "))
        if not (said & _MEANT.get(tool.name, set()) or all(any(alike(a, b) for b in said) for a in named)):
            continue
        arguments = fit({}, tool.parameters, lambda _: asked[:200])
        if "farewell" in tool.parameters.get("properties", {}):
            arguments["farewell"] = f"{_REHEARSAL}. Goodbye."
        return ToolCall(f"call_rehearsal_{len(request.messages)}", tool.name, arguments)
    return None


def _of_tool(content: str) -> str:
    try:
        told = json.loads(content)
    except ValueError:
        told = None
    if not isinstance(told, Mapping):
        return _short(content)
    if told.get("error"):
        return _short(str(told["error"]))
    if told.get("status") == "started":
        return "I have started that as a task, and tell you when it is done."
    if isinstance(told.get("memory"), list):
        found = [str(item.get("content", "")) for item in told["memory"] if isinstance(item, Mapping)]
        return f"I found: {_short(found[0])}" if found else "I found nothing about that."
    if told.get("status"):
        return f"That task is {str(told['status']).replace('_', ' ')}."
    return "I have remembered that." if told.get("remembered") else "That is done."


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rpartition(" ")[0] + "…"


def _told(request: ModelRequest, mark: str) -> bool:
    return any(message.role == "system" and mark in message.content for message in request.messages)


def _blocks(text: str) -> dict[str, Any]:
    try:
        return read_blocks(text)
    except ValueError:
        return {}
