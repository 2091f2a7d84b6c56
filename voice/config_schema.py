"""A session's config in JSON Schema, made from the rules that read it. Pure.

A schema cannot say that a flow must be a circle, nor which services it may name: `config_parsing` does.
"""

from collections.abc import Mapping
from typing import Any, Final

from voice.config import TRANSPORT
from voice.config_flow import MOST_EDGES, MOST_NAME
from voice.config_parsing import (
    CHOICES,
    MOST_CONNECTORS,
    MOST_FALLBACKS,
    MOST_PROMPT,
    TEXT_STAGES,
)
from voice.config_rules import DIALOG, OPTIONS, TURN, LanguageTag, Rule, Words

Schema = dict[str, Any]


_OF_TEXT_STAGES: Final[Mapping[str, Rule]] = {
    name: rule for stage in TEXT_STAGES for name, rule in OPTIONS[stage].items()
}


def _object(properties: Mapping[str, Schema], *required: str) -> Schema:
    described: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return described | ({"required": list(required)} if required else {})


def _rules(rules: Mapping[str, Rule]) -> dict[str, Schema]:
    return {name: rule.schema() for name, rule in rules.items()}


def _connector(service: str) -> Schema:
    choice = {"type": "string", "enum": list(CHOICES.get(service, TEXT_STAGES))}
    most = 0 if service == TRANSPORT else MOST_FALLBACKS
    options: Schema = {
        "type": "object",
        "properties": _rules(OPTIONS.get(service, {} if service in CHOICES else _OF_TEXT_STAGES)),
        "additionalProperties": True,
        "description": "The service's own settings.",
    }
    fallback = {
        "type": "array",
        "items": choice,
        "maxItems": most,
        "uniqueItems": True,
        "description": "Tried in this order when the one before cannot.",
    }
    return _object({"primary": choice, "fallback": fallback, "config": options}, "primary")


_service: Final = {"type": "string", "minLength": 1, "maxLength": MOST_NAME}
_arrow: Final = _object(
    {"from": _service, "to": _service, "stream": {"type": "string", "enum": ["audio", "text"]}}, "from", "to"
)

PIPELINE: Final = _object(
    {
        "name": Words(100, 1).schema(),
        "flow": {
            "type": "array",
            "items": _arrow,
            "minItems": 1,
            "maxItems": MOST_EDGES,
            "description": "Each service hands over to one other: from `transport` through stt, llm and tts back "
            "to it, with text stages between them. Default: no text stages.",
        },
    }
)
CONNECTORS: Final[Schema] = {
    "type": "object",
    "properties": {service: _connector(service) for service in CHOICES},
    "additionalProperties": _connector("a text stage"),
    "maxProperties": MOST_CONNECTORS,
    "description": "What does the work of each service. Any other name is a text stage that the flow may use.",
}
TURN_SETTINGS: Final = _object(_rules(TURN))
DIALOG_SETTINGS: Final = _object(_rules(DIALOG), "workflow_id") | {
    "description": "The published workflow that leads the call, until it hands over to the agent or to a person."
}
LANGUAGE_TAG: Final = LanguageTag().schema()
SYSTEM_PROMPT: Final = Words(MOST_PROMPT).schema()
NETWORK_ID: Final = Words(40, 1).schema()

CONFIG: Final = _object(
    {
        "system_prompt": SYSTEM_PROMPT,
        "pipeline": PIPELINE,
        "connectors": CONNECTORS,
        "turn": TURN_SETTINGS,
        "language": LANGUAGE_TAG,
        "network_id": NETWORK_ID,
        "dialog": DIALOG_SETTINGS,
    }
)
