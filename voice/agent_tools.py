"""The tools of an agent on the phone: what is offered, and what becomes of a call to one. Pure.

Tools run for strangers: what they may reach is fixed by the session's config and the call's limits, never
by what the model was talked into. Callers are transferred only to destinations that the config names.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agents.providers.types import ToolCall, ToolDefinition
from voice.agent_ports import (
    AgentDesk,
    CallContext,
    Declined,
    DeskClosed,
    Known,
    Limits,
    NotThere,
    TaskReport,
)
from voice.config import TRANSPORT, SessionConfig
from voice.pipeline.ports import ReplyAction

FOUND: Final = 5
MOST_MEMORY: Final = 500  # characters of one item
MOST_TASK: Final = 2000
MOST_DIGITS: Final = 40
MOST_RESULT: Final = 2000  # characters of a result that go to the model
_KEYPAD: Final = frozenset("0123456789*#wW")


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is told, and what the line is to do. `ends`: nothing is to be said after it."""

    content: str
    action: ReplyAction | None = None
    ends: bool = False
    farewell: str = ""


class ToolBox:
    """The tools of one call. `on_task` hears of each task that was started."""

    def __init__(
        self,
        desk: AgentDesk | None,
        call: CallContext,
        on_task: Callable[[str, str], None],
        limits: Limits | None = None,
    ) -> None:
        self._desk = desk if call.network_id else None
        self._call = call
        self._on_task = on_task
        self._limits = limits or Limits()

    def definitions(self, config: SessionConfig) -> tuple[ToolDefinition, ...]:
        """What this session's agent is offered: `connectors.llm.config.tools` may leave some out."""
        wanted = config.connectors["llm"].config.get("tools")
        offered = [_END_CALL]
        if self._desk is not None and config.connectors["llm"].primary == "network":
            offered += [_MEMORY_SEARCH, _REMEMBER, _START_TASK, _TASK_STATUS]
        if places := destinations(config):
            offered.append(_transfer(places))
        if config.connectors[TRANSPORT].primary == "twilio":
            offered.append(_SEND_DIGITS)
        return tuple(tool for tool in offered if wanted is None or tool.name in wanted)

    async def run(self, call: ToolCall, config: SessionConfig) -> ToolResult:
        """Run a tool. Its failures are told to the model, in words that it can pass on."""
        if call.name not in {tool.name for tool in self.definitions(config)}:
            return _told(error=f"There is no tool {call.name!r}.")
        try:
            return await self._run(call.name, call.arguments, config)
        except (NotThere, Declined) as error:
            return _told(error=str(error))
        except DeskClosed:
            return _told(error="That is not possible right now; it may be in a few minutes.")

    async def _run(self, name: str, arguments: Mapping[str, Any], config: SessionConfig) -> ToolResult:
        match name:
            case "end_call":
                action = ReplyAction("hang_up", {"reason": _text(arguments, "reason", 200) or "agent"})
                return ToolResult("", action, ends=True, farewell=_text(arguments, "farewell", 300))
            case "transfer_to_person":
                return _transferred(arguments, destinations(config))
            case "send_digits":
                digits = _text(arguments, "digits", MOST_DIGITS + 1).replace(" ", "")
                if not digits or len(digits) > MOST_DIGITS or not set(digits) <= _KEYPAD:
                    return _told(error=f"Digits are 0-9, * and #, at most {MOST_DIGITS}.")
                return ToolResult('{"sent":true}', ReplyAction("send_digits", {"digits": digits}))
        assert self._desk is not None  # what follows is not offered without
        return await self._ask_network(self._desk, name, arguments)

    async def _ask_network(self, desk: AgentDesk, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        network_id = self._call.network_id
        match name:
            case "memory_search":
                found = await desk.search(network_id, _text(arguments, "query", 500), FOUND)
                return _told(memory=[_item(item) for item in found])
            case "remember":
                content = _text(arguments, "content", MOST_MEMORY)
                if not content:
                    return _told(error="There is nothing to remember.")
                if self._limits.remembered >= self._limits.memories:
                    return _told(error="This call has remembered enough.")
                self._limits.remembered += 1
                kind = "context" if arguments.get("type") == "context" else "fact"
                await desk.remember(network_id, content, kind, self._call.call_id)
                return _told(remembered=True)
            case "start_task":
                return await self._start_task(desk, _text(arguments, "description", MOST_TASK))
        task_id = _text(arguments, "task_id", 60) or (self._limits.started or [""])[-1]
        if task_id not in self._limits.started:
            return _told(error="This call has not started such a task.")
        return _told(**described(await desk.task(network_id, task_id)))

    async def _start_task(self, desk: AgentDesk, description: str) -> ToolResult:
        if not description:
            return _told(error="Say what is to be done.")
        if len(self._limits.started) >= self._limits.tasks:
            return _told(error="This call has started as many tasks as it may.")
        task_id = await desk.start_task(self._call.network_id, description, self._call.call_id)
        self._limits.started.append(task_id)
        self._on_task(task_id, description)
        return _told(
            task_id=task_id, status="started", note="The result is told to the caller when it is ready."
        )


def destinations(config: SessionConfig) -> dict[str, str]:
    """Where callers may be transferred: `connectors.llm.config.transfer`, one address or names with theirs."""
    given = config.connectors["llm"].config.get("transfer")
    if isinstance(given, str) and given:
        return {"a person": given}
    if isinstance(given, Mapping):
        return {str(name): str(address) for name, address in given.items() if address}
    return {}


def described(task: TaskReport) -> dict[str, Any]:
    """A task as the model is told of it."""
    told: dict[str, Any] = {"task": task.description[:300], "status": task.status}
    if task.finished and task.result is not None:
        told["result"] = result_text(task.result)
    if task.error:
        told["error"] = task.error[:300]
    return told


def announcement(task: TaskReport) -> str:
    """The news that a task has ended, for the agent to tell in its own words."""
    what = f"The task “{task.description[:200]}”"
    if task.status == "completed":
        return f"{what} is done. Its result: {result_text(task.result)}"
    if task.status == "cancelled":
        return f"{what} was cancelled."
    return f"{what} could not be done. {task.error[:300]}".rstrip()


def result_text(result: Any) -> str:
    """The part of a task's result that can be told."""
    if isinstance(result, Mapping) and isinstance(result.get("content"), str):
        result = result["content"]
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    return text if len(text) <= MOST_RESULT else f"{text[:MOST_RESULT]}…"


def _transferred(arguments: Mapping[str, Any], places: Mapping[str, str]) -> ToolResult:
    wanted = _text(arguments, "to", 100) or next(iter(places))
    if wanted not in places:
        return _told(error=f"Callers can be transferred to: {', '.join(places)}.")
    mode = "warm" if arguments.get("mode") == "warm" else "cold"
    summary = _text(arguments, "summary", 500)
    return ToolResult(
        "", ReplyAction("transfer", {"to": places[wanted], "mode": mode, "summary": summary}), ends=True
    )


def _item(item: Known) -> dict[str, Any]:
    source = item.source if item.trusted else f"{item.source} (unverified hearsay)"
    return {"id": item.id, "content": item.content[:1000], "source": source}


def _told(**values: Any) -> ToolResult:
    return ToolResult(json.dumps(values, ensure_ascii=False, default=str))


def _text(arguments: Mapping[str, Any], name: str, most: int) -> str:
    value = arguments.get(name)
    return value.replace("\0", "").strip()[:most] if isinstance(value, str) else ""


def _tool(name: str, description: str, required: Sequence[str], /, **properties: Any) -> ToolDefinition:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return ToolDefinition(name, description, schema)


def _string(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


_MEMORY_SEARCH = _tool(
    "memory_search",
    "Search what this network knows. Use it when the caller asks for something you have not been told.",
    ["query"],
    query=_string("Words to look for."),
)
_REMEMBER = _tool(
    "remember",
    "Keep something the caller said for later calls and tasks, such as a wish or a correction.",
    ["content"],
    content=_string("One sentence, in your words."),
    type=_string("What it is.", enum=["fact", "context"]),
)
_START_TASK = _tool(
    "start_task",
    "Give the agents of this network a task that takes longer than a moment, such as writing or analysing. "
    "You are told its result during the call.",
    ["description"],
    description=_string("The whole task, self-contained: the agents do not hear the call."),
)
_TASK_STATUS = _tool(
    "task_status",
    "Tell how a task stands that was started in this call.",
    [],
    task_id=_string("The task's id; without it the latest one."),
)
_END_CALL = _tool(
    "end_call",
    "Hang up, when the caller has said goodbye or there is nothing left to do.",
    [],
    farewell=_string("The last words, if you have not said them."),
    reason=_string("Why, in a few words."),
)
_SEND_DIGITS = _tool(
    "send_digits",
    "Press keys of the telephone, for example in another company's menu.",
    ["digits"],
    digits=_string("0-9, * and #; w waits half a second."),
)


def _transfer(places: Mapping[str, str]) -> ToolDefinition:
    return _tool(
        "transfer_to_person",
        "Hand the caller over to a person. The call with you ends.",
        ["to"],
        to=_string("To whom.", enum=list(places)),
        summary=_string("What the person should know, in one or two sentences."),
        mode=_string("cold: at once; warm: tell the person the summary first.", enum=["cold", "warm"]),
    )


#: Every tool there is, for configs that leave some out.
TOOLS: Final = (
    *(tool.name for tool in (_MEMORY_SEARCH, _REMEMBER, _START_TASK, _TASK_STATUS, _END_CALL, _SEND_DIGITS)),
    "transfer_to_person",
)
