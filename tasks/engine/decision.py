"""The shapes that agents answer in, and what is checked before anything runs.

Every `check_*` returns the problems it found, in words the model can mend by; empty means good.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from web.jsonschemas import has_pattern

MAX_SUBTASKS = 20
MEMORY_TYPES = ("fact", "context", "decision", "feedback")

_MEMORY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": list(MEMORY_TYPES)},
        "content": {"type": "string"},
        "confidence": {"type": "number"},
    },
    "required": ["type", "content", "confidence"],
    "additionalProperties": False,
}
_RESULT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "content": {"type": "string"},
        "confidence": {"type": "number"},
        "explanation": {"type": "string"},
    },
    "required": ["content", "confidence", "explanation"],
    "additionalProperties": False,
}
COORDINATOR_DECISION: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "task_complete": {"type": "boolean"},
        "reasoning": {"type": "string"},
        "subtasks": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "agent_id": {"type": "string"},
                    "description": {"type": "string"},
                    "depends_on": {
                        "type": "array",
                        "items": {"type": "integer"},
                        "description": "Numbers (from 1) of subtasks in this list that must end first.",
                    },
                    "required": {
                        "type": "boolean",
                        "description": "True when the task is worthless without this part.",
                    },
                    "output_schema": {
                        "type": "string",
                        "description": "Optional: a JSON Schema, as JSON text, for the specialist's result.",
                    },
                },
                "required": ["agent_id", "description"],
                "additionalProperties": False,
            },
        },
        "then": {"type": "string", "enum": ["review", "synthesize"]},
        "new_memories": {"type": "array", "items": _MEMORY},
        "result": _RESULT,
    },
    "required": ["task_complete", "reasoning", "subtasks", "then", "new_memories"],
    "additionalProperties": False,
}
SPECIALIST_REPORT: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "result": {"type": "string"},
        "confidence": {"type": "number"},
        "suggested_memories": {"type": "array", "items": _MEMORY},
    },
    "required": ["reasoning", "result", "confidence", "suggested_memories"],
    "additionalProperties": False,
}
SYNTHESIS: Mapping[str, Any] = _RESULT


def specialist_schema(result: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the report's schema, with `result` in the shape that the subtask asks for."""
    if not result:
        return SPECIALIST_REPORT
    return {**SPECIALIST_REPORT, "properties": {**SPECIALIST_REPORT["properties"], "result": result}}


def result_schema(content: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the schema of a result, with `content` in the shape that the task asks for."""
    if not content:
        return _RESULT
    return {**_RESULT, "properties": {**_RESULT["properties"], "content": content}}


def unpack_schemas(decision: dict[str, Any]) -> list[str]:
    """Parse the subtasks' output schemas, which models give as JSON text, in place."""
    problems = []
    for number, subtask in enumerate(decision.get("subtasks") or (), 1):
        text = subtask.pop("output_schema", None)
        if not text:
            continue
        try:
            schema = json.loads(text)
            validator_for(schema).check_schema(schema)
        except (ValueError, SchemaError, AttributeError, TypeError) as error:
            problems.append(f"subtask {number}: output_schema is no JSON Schema: {str(error)[:200]}")
        else:
            if has_pattern(schema):
                problems.append(f"subtask {number}: output_schema must not use pattern or patternProperties.")
            subtask["output_schema"] = schema
    return problems


def check_decision(decision: Mapping[str, Any], specialists: Collection[str]) -> list[str]:
    """Check a decision that has the right shape: does it make sense for this network?"""
    if decision["task_complete"]:
        return [] if decision.get("result") else ["task_complete is true, but there is no result."]
    subtasks: Sequence[Mapping[str, Any]] = decision["subtasks"]
    if not subtasks:
        return ["task_complete is false, but there are no subtasks: delegate something or complete the task."]
    problems = []
    if len(subtasks) > MAX_SUBTASKS:
        problems.append(f"{len(subtasks)} subtasks are too many: at most {MAX_SUBTASKS}.")
    seen: set[tuple[str, str]] = set()
    for number, subtask in enumerate(subtasks, 1):
        objective = " ".join(str(subtask["description"]).lower().split())
        if subtask["agent_id"] not in specialists:
            known = ", ".join(sorted(specialists)) or "none"
            problems.append(
                f"subtask {number}: unknown agent {subtask['agent_id']!r}. The specialists are: {known}."
            )
        if not objective:
            problems.append(f"subtask {number}: the description is empty.")
        if (subtask["agent_id"], objective) in seen:
            problems.append(f"subtask {number}: the same work is given to the same agent twice.")
        seen.add((subtask["agent_id"], objective))
        for parent in subtask.get("depends_on") or ():
            if not 1 <= parent <= len(subtasks):
                problems.append(f"subtask {number}: depends_on names {parent}, which is not in the list.")
    if not problems and _has_cycle(subtasks):
        problems.append("the subtasks depend on each other in a circle.")
    return problems


def _has_cycle(subtasks: Sequence[Mapping[str, Any]]) -> bool:
    waiting = {number: set(subtask.get("depends_on") or ()) for number, subtask in enumerate(subtasks, 1)}
    while free := [number for number, parents in waiting.items() if not parents & waiting.keys()]:
        for number in free:
            del waiting[number]
    return bool(waiting)


def clamp(confidence: Any) -> float:
    """Return a confidence as a number from 0 to 1; models now and then answer with percent."""
    value = float(confidence)
    if 1 < value <= 100:
        value /= 100
    return min(1.0, max(0.0, value))
