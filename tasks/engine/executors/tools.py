"""The bounded tool loop: a model asks for tools, they are called, it is asked again, at most eight times."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agents.providers.types import Message, ModelRequest, Reply, ToolCall, ToolDefinition
from agents.tools.base import ToolSpec

from ..ports import SnapshotView, StepPort, ToolOutcome, ToolRequest

MOST_TURNS: Final = 8
MOST_CALLS: Final = 16  # in one turn
LONGEST_RESULT: Final = 32_000  # characters that a model is shown of one


@dataclass(frozen=True)
class ToolBox:
    """The tools that an agent may call, by the names models call them by."""

    specs: Mapping[str, ToolSpec] = field(default_factory=dict)

    @property
    def definitions(self) -> tuple[ToolDefinition, ...]:
        return tuple(
            ToolDefinition(spec.name, spec.description or spec.name, spec.input_schema or {"type": "object"})
            for spec in self.specs.values()
        )


def toolbox(snapshot: SnapshotView, ids: Iterable[str]) -> ToolBox:
    """Put together the tools of these ids; those that were gone when the run began are left out."""
    return ToolBox({spec.name: spec for id_ in ids if (spec := snapshot.tools.get(id_))})


async def answer_with_tools(
    port: StepPort, turns: Iterator[int], request: ModelRequest, models: Sequence[str], box: ToolBox
) -> tuple[Reply, ModelRequest]:
    """Return the model's answer, and the request with all that was said on the way to it.

    Without tools it is one turn. After the last turn of tools the model must answer with what it has.
    """
    for _ in range(MOST_TURNS):
        turn = next(turns)
        reply = await port.ask(turn, request, models)
        if not reply.tool_calls or not box.specs:
            return reply, request
        results = await _call(port, turn, reply.tool_calls, box)
        said = Message("assistant", reply.text, reply.tool_calls, opaque=reply.opaque)
        request = replace(request, messages=(*request.messages, said, *results))
    request = replace(request, tool_choice="none")  # the tools stay: their results are in the messages
    return await port.ask(next(turns), request, models), request


async def _call(port: StepPort, turn: int, calls: Sequence[ToolCall], box: ToolBox) -> list[Message]:
    known = [call for call in calls if call.name in box.specs][:MOST_CALLS]
    outcomes = await port.call_tools(
        turn, [ToolRequest(box.specs[call.name], call.arguments) for call in known]
    )
    told = {call.id: _told(outcome) for call, outcome in zip(known, outcomes, strict=True)}
    names = ", ".join(box.specs)
    return [
        Message(
            "tool",
            told.get(call.id)
            or _text(
                {"error": f"There is no tool {call.name!r}, or too many were called; there are: {names}."}
            ),
            tool_call_id=call.id,
        )
        for call in calls
    ]


def _told(outcome: ToolOutcome) -> str:
    if outcome.error_code:
        return _text({"error": outcome.error_detail, "code": outcome.error_code})
    return _text({"result": outcome.output})


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_RESULT else text[:LONGEST_RESULT] + "… (cut)"
