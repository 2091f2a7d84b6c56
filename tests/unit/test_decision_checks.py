"""What is checked of a coordinator's decision before anything runs."""

from typing import Any

import pytest

from tasks.engine.decision import MAX_SUBTASKS, check_decision, clamp, unpack_schemas
from web.jsonschemas import problems_of

AGENTS = ["agent_a", "agent_b"]


def subtask(agent: str = "agent_a", description: str = "Write it", **fields: Any) -> dict[str, Any]:
    return {"agent_id": agent, "description": description, **fields}


def decision(*subtasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"task_complete": False, "subtasks": list(subtasks), **fields}


def test_it_takes_a_decision_that_makes_sense() -> None:
    good = decision(
        subtask(), subtask("agent_b", depends_on=[1]), subtask("agent_a", "Check it", depends_on=[1, 2])
    )
    assert check_decision(good, AGENTS) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (decision(subtask("agent_x")), "unknown agent 'agent_x'. The specialists are: agent_a, agent_b."),
        (decision(subtask(description=" \n")), "the description is empty"),
        (
            decision(subtask(), subtask(description=" write  IT ")),
            "the same work is given to the same agent twice",
        ),
        (decision(subtask(depends_on=[2])), "depends_on names 2"),
        (decision(subtask(depends_on=[0])), "depends_on names 0"),
        (decision(subtask(depends_on=[1])), "in a circle"),
        (decision(subtask(depends_on=[2]), subtask("agent_b", depends_on=[1])), "in a circle"),
        (decision(), "there are no subtasks"),
        (decision(*[subtask(description=str(n)) for n in range(MAX_SUBTASKS + 1)]), "too many"),
        (decision(task_complete=True), "there is no result"),
    ],
)
def test_it_names_what_is_wrong(wrong: dict[str, Any], words: str) -> None:
    problems = check_decision(wrong, AGENTS)
    assert len(problems) == 1
    assert words in problems[0]


def test_it_names_every_problem_at_once() -> None:
    assert len(check_decision(decision(subtask("agent_x", ""), subtask(depends_on=[9])), AGENTS)) == 3


def test_it_lets_two_agents_do_the_same_work() -> None:
    assert check_decision(decision(subtask(), subtask("agent_b")), AGENTS) == []


def test_it_says_that_nobody_can_be_named() -> None:
    [problem] = check_decision(decision(subtask()), [])
    assert "The specialists are: none." in problem


def test_it_parses_schemas_that_come_as_text() -> None:
    value = decision(subtask(output_schema='{"type": "object"}'), subtask(output_schema=""))
    assert unpack_schemas(value) == []
    assert value["subtasks"][0]["output_schema"] == {"type": "object"}
    assert "output_schema" not in value["subtasks"][1]


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"', '{"type": "nothing"}', '{"required": 3}'])
def test_it_reports_a_schema_that_is_none(text: str) -> None:
    value = decision(subtask(output_schema=text))
    [problem] = unpack_schemas(value)
    assert problem.startswith("subtask 1: output_schema is no JSON Schema")
    assert "output_schema" not in value["subtasks"][0]


def test_it_places_what_breaks_a_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
        "required": ["b"],
    }
    assert problems_of({"a": [1, "x"], "b": 1}, schema) == ["a/1: 'x' is not of type 'integer'"]
    assert problems_of({}, schema) == ["the object: 'b' is a required property"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"$ref": "#/nowhere"},
        {"$ref": "http://127.0.0.1/never-fetched"},
        {"$ref": "#"},
        {"propertyNames": {"pattern": "("}},
        {"properties": 3},
    ],
)
def test_it_reports_a_broken_schema_instead_of_raising(schema: dict[str, Any]) -> None:
    [problem] = problems_of({"a": 1}, schema)
    assert "schema itself is invalid" in problem


@pytest.mark.parametrize(("said", "meant"), [(0.4, 0.4), (1, 1.0), (85, 0.85), (-3, 0.0), (250, 1.0)])
def test_it_reads_percent_as_a_share(said: float, meant: float) -> None:
    assert clamp(said) == meant
