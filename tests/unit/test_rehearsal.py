"""What rehearsal answers: valid, made of the task's own words, the same every time, and honest about it."""

import json
from typing import Any

import jsonschema
import pytest

from agents.prompting import data_block
from agents.providers.base import complete
from agents.providers.rehearsal import RehearsalProvider, answer
from agents.providers.types import FinishReason, Message, ModelRequest, OutputSchema, ToolDefinition
from tasks.engine.decision import (
    COORDINATOR_DECISION,
    SPECIALIST_REPORT,
    SYNTHESIS,
    check_decision,
    result_schema,
    specialist_schema,
)

NOTICE = "no model was called"
AGENTS: list[dict[str, Any]] = [
    {"id": "c", "name": "Content Specialist", "type": "content", "capabilities": ["copywriting"]},
    {"id": "d", "name": "Design Specialist", "type": "design", "capabilities": ["layout"]},
    {"id": "a", "name": "Analytics Specialist", "type": "analytics", "capabilities": ["metrics"]},
    {
        "id": "p",
        "name": "Personalization Specialist",
        "type": "personalization",
        "capabilities": ["segments"],
    },
    {"id": "s", "name": "SEO Specialist", "type": "seo", "capabilities": ["keyword_research"]},
]
EMAIL: dict[str, Any] = {
    "description": "Create an email campaign for our product launch",
    "context": {"product": "TechPro X1", "audience": "young professionals", "tone": "energetic"},
}
RESULTS: list[dict[str, Any]] = [
    {"agent_name": "Content Specialist", "key": "1", "status": "succeeded", "result": "Dear customers"},
    {"agent_name": "Design Specialist", "key": "2", "status": "failed"},
]


def ask(name: str, schema: Any, **blocks: Any) -> Any:
    text = "\n\n".join(data_block(key, value) for key, value in blocks.items())
    request = ModelRequest("rehearsal", (Message("user", text),), output_schema=OutputSchema(name, schema))
    value = json.loads(answer(request).text)
    jsonschema.validate(value, schema)
    return value


def decide(**blocks: Any) -> Any:
    return ask("coordinator_decision", COORDINATOR_DECISION, **blocks)


def chosen(description: str) -> list[str]:
    decision = decide(task={"description": description}, agents=AGENTS)
    assert check_decision(decision, [agent["id"] for agent in AGENTS]) == []
    return [subtask["agent_id"] for subtask in decision["subtasks"]]


def test_it_gives_a_seo_task_to_the_seo_specialist():
    assert chosen("Improve the SEO of our blog") == ["s"]


def test_it_gives_an_email_campaign_to_four_specialists():
    assert chosen(EMAIL["description"]) == ["c", "d", "a", "p"]


def test_it_always_finds_somebody():
    assert chosen("Zzz") == ["c"]
    assert chosen("") == ["c"]


def test_it_delegates_once_and_has_the_parts_put_together():
    decision = decide(task=EMAIL, agents=AGENTS)
    assert decision["task_complete"] is False
    assert decision["then"] == "synthesize"
    assert {"type": "context", "content": "audience: young professionals", "confidence": 0.9} in decision[
        "new_memories"
    ]


@pytest.mark.parametrize("blocks", [{"agents": AGENTS, "results": RESULTS}, {"agents": []}, {}])
def test_it_completes_the_task_when_nothing_is_left_to_delegate(blocks: dict[str, Any]):
    decision = decide(task=EMAIL, **blocks)
    assert decision["task_complete"] is True
    assert NOTICE in decision["result"]["explanation"]
    assert check_decision(decision, []) == []


@pytest.mark.parametrize("agent", [*AGENTS, {"name": "Legal Reviewer", "type": "legal", "capabilities": []}])
def test_it_drafts_a_specialists_part_from_the_tasks_own_context(agent: dict[str, Any]):
    memory = [{"id": "m1", "type": "fact", "content": "They read on the train", "confidence": 0.8}]
    report = ask(
        "specialist_report",
        SPECIALIST_REPORT,
        task=EMAIL,
        subtask={"description": "Do your part", "agent": agent},
        memory=memory,
    )
    assert "TechPro X1" in report["result"]
    assert "young professionals" in report["result"]
    assert "[m1] They read on the train" in report["result"]
    assert NOTICE in report["result"].splitlines()[-1]
    assert NOTICE in report["reasoning"]


def test_it_assembles_the_results_and_names_what_is_missing():
    result = ask("synthesis", SYNTHESIS, task=EMAIL, results=RESULTS)
    assert "## Content Specialist\n\nDear customers" in result["content"]
    assert NOTICE in result["content"].splitlines()[-1]
    assert "Missing: Design Specialist" in result["explanation"]


SHAPES: list[dict[str, Any]] = [
    {"type": "string", "maxLength": 10},
    {"type": ["string", "null"]},
    {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 3},
    {
        "type": "object",
        "properties": {
            "subject": {"type": "string"},
            "score": {"type": "integer", "minimum": 3},
            "kind": {"enum": ["a", "b"]},
            "next": {"$ref": "#/$defs/step"},
            "when": {"type": "string", "format": "date"},
            "either": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
        "required": ["subject", "score", "kind", "next", "when", "either"],
        "additionalProperties": False,
        "$defs": {"step": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}},
    },
    {"type": "object"},
    {},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_answers_in_any_shape(shape: dict[str, Any]):
    ask("anything", shape, task=EMAIL)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "$defs" not in shape])
def test_it_fits_a_tasks_own_shape_into_reports_and_results(shape: dict[str, Any]):
    ask("specialist_report", specialist_schema(shape), task=EMAIL, subtask={"agent": AGENTS[0]})
    ask("synthesis", result_schema(shape), task=EMAIL, results=RESULTS)


def test_it_answers_with_facts_of_the_task_where_fields_are_named_after_them():
    schema = {"type": "object", "properties": {"audience": {"type": "string"}}, "required": ["audience"]}
    assert ask("anything", schema, task=EMAIL)["audience"] == "young professionals"


@pytest.mark.parametrize(
    "text", ['<data name="task">\nnot json\n</data>', '<data name="task">\n[1]\n</data>', ""]
)
def test_it_survives_blocks_that_are_none(text: str):
    request = ModelRequest("rehearsal", (Message("user", text),))
    assert NOTICE in answer(request).text


def test_it_repeats_a_caller_and_says_that_no_model_was_called():
    reply = answer(ModelRequest("rehearsal", (Message("user", "When do you open?"),)))
    assert "When do you open?" in reply.text
    assert NOTICE in reply.text


def test_it_quotes_the_item_that_fits_the_question():
    items = [
        {"id": "k1", "source": "handbook", "content": "We open at nine."},
        {"id": "k2", "source": "prices", "content": "A ticket costs ten."},
    ]
    text = data_block("memory", items) + "\nWhat does a ticket cost?"
    assert (
        "According to prices: A ticket costs ten."
        in answer(ModelRequest("rehearsal", (Message("user", text),))).text
    )


LOOKUP = ToolDefinition(
    "find_order",
    "Find an order",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)


def test_it_calls_a_tool_that_the_caller_speaks_of_and_quotes_its_result():
    question = Message("user", "Can you find my order?")
    reply = answer(ModelRequest("rehearsal", (question,), tools=(LOOKUP,)))
    (call,) = reply.tool_calls
    assert reply.finish_reason is FinishReason.TOOL_CALLS
    assert call.arguments == {"query": "Can you find my order?"}
    result = Message("tool", "order 7 is on its way", tool_call_id=call.id)
    turn = Message("assistant", "", reply.tool_calls)
    assert "order 7" in answer(ModelRequest("rehearsal", (question, turn, result), tools=(LOOKUP,))).text


@pytest.mark.parametrize(("choice", "calls"), [("auto", 0), ("none", 0), ("required", 1)])
def test_it_obeys_the_tool_choice(choice: Any, calls: int):
    request = ModelRequest("rehearsal", (Message("user", "Hello"),), tools=(LOOKUP,), tool_choice=choice)
    assert len(answer(request).tool_calls) == calls


def test_it_honours_stop_and_max_tokens_in_conversation():
    asked = (Message("user", "one two three " * 20),)
    assert answer(ModelRequest("rehearsal", asked, stop=("three",))).text == "You said: one two "
    cut = answer(ModelRequest("rehearsal", asked, max_tokens=3))
    assert (cut.finish_reason, len(cut.text)) == (FinishReason.MAX_TOKENS, 12)


@pytest.mark.parametrize("stream", [True, False])
async def test_it_streams_what_it_answers(stream: bool):
    request = ModelRequest("gone", (Message("user", data_block("task", EMAIL)),), stream=stream)
    assert await complete(RehearsalProvider(), request) == answer(request)
    assert answer(request) == answer(request)
    assert answer(request).usage.input > 0
