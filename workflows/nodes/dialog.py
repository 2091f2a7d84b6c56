"""What is said and asked on a telephone call, and who goes on with the caller. Such nodes run on a call only."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..findings import Finding
from ..graph import Graph, Node
from .base import TEXT, NodeType, World

SPOKEN: Final = {"type": "string", "minLength": 1, "maxLength": 2000}
_KEYS: Final = r"[0-9*#]{1,20}"
_CHOICE: Final = {
    "type": "object",
    "properties": {
        "value": {"type": "string", "minLength": 1, "maxLength": 100},
        "phrases": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
            "maxItems": 50,
        },
        "keys": {"type": "string", "pattern": f"^{_KEYS}$"},
    },
    "required": ["value"],
    "additionalProperties": False,
}


def _check_ask(node: Node, graph: Graph, world: World) -> Iterator[Finding]:
    config = node.config
    choices = config.get("choices")
    choices = (
        [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []
    )
    expects = config.get("expects", "both")
    for name in ("value", "keys"):
        yield from _twice(node, name, [_words(choice.get(name)) for choice in choices])
    yield from _twice(node, "phrases", [phrases_of(choice) for choice in choices])
    if "choices" in config and not choices:
        yield Finding("no_choices", "Name the choices, or leave them out.", node.id, field="/config/choices")
    if choices and config.get("max_digits"):
        yield Finding(
            "choices_and_digits",
            "A question has choices, or takes any digits; not both.",
            node.id,
            field="/config/max_digits",
        )
    if expects == "keys":
        for place, choice in enumerate(choices):
            if not choice.get("keys"):
                yield Finding(
                    "choice_without_keys",
                    "The question takes keys only, and this choice has none.",
                    node.id,
                    field=f"/config/choices/{place}/keys",
                )
    if expects == "speech" and config.get("max_digits"):
        yield Finding(
            "digits_without_keys",
            "The question takes no keys.",
            node.id,
            field="/config/max_digits",
        )


def phrases_of(choice: Mapping[str, Any]) -> list[str]:
    """What a caller may say to mean a choice: its phrases, else its value."""
    phrases = choice.get("phrases")
    said = phrases if isinstance(phrases, list) and phrases else [choice.get("value", "")]
    return [" ".join(phrase.casefold().split()) for phrase in said if isinstance(phrase, str)]


def _words(value: Any) -> list[str]:
    return [value] if value and isinstance(value, str) else []


def _twice(node: Node, field: str, of_choices: list[list[str]]) -> Iterator[Finding]:
    """Find what would mean two choices at once."""
    counted = Counter(thing for things in of_choices for thing in set(things))
    for place, things in enumerate(of_choices):
        for thing in things:
            if counted[thing] > 1:
                yield Finding(
                    "choice_twice",
                    f"{thing!r} stands for more than one choice.",
                    node.id,
                    field=f"/config/choices/{place}/{field}",
                )


def _check_hand_over(node: Node, graph: Graph, world: World) -> Iterator[Finding]:
    if node.config.get("to") == "person" and not node.config.get("target"):
        yield Finding(
            "missing_target",
            "Say where the person is: a number, or a name of the call's config.",
            node.id,
            field="/config/target",
        )
    behind = [edge.target for edge in graph.out[node.id] if edge.label != "error"]
    for other in sorted(graph.reached_from(behind) if behind else ()):
        found = graph.by_id.get(other)
        if found is not None and found.type in DIALOG:
            yield Finding(
                "caller_is_gone",
                f"{node.id!r} has handed the caller over, so nothing can be said or asked here.",
                other,
            )


#: Says a text, and goes on when it was heard or interrupted.
SAY: Final = NodeType(
    "say",
    {"text": SPOKEN, "interruptible": {"type": "boolean"}},
    required=("text",),
    templates=("text",),
    on_call=True,
)

#: Asks, and hears or takes keys. With `choices` one of them is meant; with `max_digits` any digits are taken, else
#: whatever is said. Output: {text, choice, digits, matched, attempts}. It goes on unmatched after `attempts` times.
ASK: Final = NodeType(
    "ask",
    {
        "text": SPOKEN,
        "expects": {"enum": ["speech", "keys", "both"]},
        "choices": {"type": "array", "items": _CHOICE, "maxItems": 50},
        "max_digits": {"type": "integer", "minimum": 1, "maximum": 64},
        "wait_seconds": {"type": "number", "minimum": 0.5, "maximum": 120},
        "attempts": {"type": "integer", "minimum": 1, "maximum": 10},
        "no_match": TEXT,
        "no_input": TEXT,
        "interruptible": {"type": "boolean"},
    },
    required=("text",),
    templates=("text", "no_match", "no_input"),
    on_call=True,
    check=_check_ask,
)

#: Gives the caller to the call's agent, or to a person. What lies behind goes on without the caller.
HAND_OVER: Final = NodeType(
    "hand_over",
    {
        "to": {"enum": ["agent", "person"]},
        "target": {"type": "string", "maxLength": 200},
        "mode": {"enum": ["cold", "warm"]},
        "message": TEXT,
        "brief": TEXT,
    },
    required=("to",),
    templates=("message", "brief"),
    on_call=True,
    check=_check_hand_over,
)

DIALOG: Final = frozenset({SAY.name, ASK.name, HAND_OVER.name})
