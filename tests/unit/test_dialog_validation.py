"""What keeps a dialog from being led, each told with its node."""

from typing import Any

import pytest

from tests.unit.test_workflow_validation import edge, findings, line, node
from workflows.nodes.registry import needs_a_caller
from workflows.parsing import parse_graph


def ask(**config: Any) -> dict[str, Any]:
    made: dict[str, Any] = line(node("ask", "ask", config={"text": "Which?", **config}))
    return made


def test_it_accepts_what_is_said_asked_and_handed_over() -> None:
    body = line(
        node("hello", "say", config={"text": "Hello {{ input.name }}.", "interruptible": False}),
        node(
            "which",
            "ask",
            config={
                "text": "Sales or help?",
                "expects": "both",
                "choices": [
                    {"value": "sales", "keys": "1", "phrases": ["sales", "buy"]},
                    {"value": "help", "keys": "*"},
                ],
                "wait_seconds": 5,
                "attempts": 2,
                "no_match": "Once more.",
                "no_input": "Hello?",
                "writes": {"which": "{{ output.choice }}"},
            },
        ),
        node("number", "ask", config={"text": "Your number?", "expects": "keys", "max_digits": 5}),
        node("over", "hand_over", config={"to": "agent", "message": "Bye.", "brief": "{{ context.which }}"}),
    )
    assert findings(body) == set()
    assert needs_a_caller(parse_graph(body)[0]) == ["hello", "which", "number", "over"]
    assert needs_a_caller(parse_graph(line(node("a")))[0]) == []


SALES = {"value": "sales", "keys": "1"}


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"text": ""}, "bad_config"),
        ({"text": "{{ nodes.nowhere.output }}"}, "unknown_node"),
        ({"expects": "gestures"}, "bad_config"),
        ({"choices": []}, "no_choices"),
        ({"choices": [{"keys": "1"}]}, "bad_config"),
        ({"choices": [{"value": {}}]}, "bad_config"),
        ({"choices": [{"value": "a", "keys": "one"}]}, "bad_config"),
        ({"choices": [SALES, {"value": "sales", "keys": "2"}]}, "choice_twice"),
        ({"choices": [SALES, {"value": "help", "keys": "1"}]}, "choice_twice"),
        ({"choices": [SALES, {"value": "help", "phrases": ["Help", " SALES "]}]}, "choice_twice"),
        ({"choices": [SALES], "max_digits": 3}, "choices_and_digits"),
        ({"choices": [{"value": "a"}], "expects": "keys"}, "choice_without_keys"),
        ({"expects": "speech", "max_digits": 3}, "digits_without_keys"),
        ({"attempts": 0}, "bad_config"),
    ],
    ids=str,
)
def test_it_names_a_question_that_cannot_be_asked(config: dict[str, Any], code: str) -> None:
    assert (code, "ask") in findings(ask(**config))


def test_it_names_what_comes_after_the_caller_is_gone() -> None:
    over = node("over", "hand_over", config={"to": "agent"})
    late = node("late", "say", config={"text": "Still there?"})
    assert findings(line(over, late)) == {("caller_is_gone", "late")}
    sorry = node("sorry", "say", config={"text": "Nobody is there."})
    routed = node("over", "hand_over", config={"to": "person", "target": "+1500", "on_error": "route"})
    edges = [
        edge("start", "over"),
        edge("over", "end"),
        edge("over", "sorry", label="error"),
        edge("sorry", "end"),
    ]
    assert findings(line(routed, sorry, edges=edges)) == set()


def test_it_names_a_hand_over_to_nobody() -> None:
    assert findings(line(node("over", "hand_over", config={"to": "person"}))) == {("missing_target", "over")}
    assert findings(line(node("over", "hand_over", config={}))) == {("bad_config", "over")}
