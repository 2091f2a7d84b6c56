"""What the connectors' own settings may be, where they are ours to read."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from voice.agent_tools import TOOLS
from voice.config_parsing import ConfigInvalid, parse, to_json
from voice.config_schema import CONFIG


def llm(**config: Any) -> dict[str, Any]:
    return {"connectors": {"llm": {"primary": "openai", "config": config}}}


def stage(kind: str, **config: Any) -> dict[str, Any]:
    return {"connectors": {"words": {"primary": kind, "config": config}}}


@pytest.mark.parametrize(
    "body",
    [
        llm(tools=list(TOOLS)),
        llm(tools=[]),
        llm(transfer="+15005550006"),
        llm(transfer={"sales": "+15005550006", "help": "sip:help@pbx.example.com:5060"}),
        stage("translate", source="de", target="plain English", model="gpt-6-sol"),
        stage("filter", replace={"Acme": "us"}, pronounce={"SQL": "sequel"}, remove=["damn"]),
        stage("filter", personal_data="redact"),
    ],
    ids=str,
)
def test_it_takes_what_is_right(body: dict[str, Any]) -> None:
    config = parse(body)
    Draft202012Validator(CONFIG).validate(to_json(config))
    assert parse(to_json(config)) == config


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (llm(tools=["delete_everything"]), "llm/config/tools/0", "invalid_choice"),
        (llm(tools="end_call"), "llm/config/tools", "not_a_list"),
        (llm(transfer="call mum"), "llm/config/transfer", "invalid_address"),
        (llm(transfer={"a/b": "0049123"}), "llm/config/transfer/a~1b", "invalid_address"),
        (llm(transfer=["+15005550006"]), "llm/config/transfer", "not_an_object"),
        (llm(transfer={str(n): "+15005550006" for n in range(21)}), "llm/config/transfer", "too_many"),
        (stage("translate", target=7), "words/config/target", "not_a_string"),
        (stage("filter", replace={"a": 1}), "words/config/replace/a", "not_a_string"),
        (stage("filter", replace={"a": None}), "words/config/replace/a", "not_a_string"),
        (stage("filter", pronounce=["SQL"]), "words/config/pronounce", "not_an_object"),
        (stage("filter", remove="damn"), "words/config/remove", "not_a_list"),
        (stage("filter", personal_data="sell"), "words/config/personal_data", "invalid_choice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_names_what_is_wrong(body: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse(body)
    assert (f"/connectors/{pointer}", code) in [
        (finding.pointer, finding.code) for finding in caught.value.findings
    ]
