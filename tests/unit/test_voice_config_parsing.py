"""Reading a session's config: what is right is read, and all that is wrong is named at once."""

import json
from copy import deepcopy
from dataclasses import fields
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.voice_config_bodies import EXAMPLE, arrows, changed
from voice.config import Connector, TurnSettings
from voice.config_parsing import ConfigInvalid, parse, to_json
from voice.config_rules import TURN
from voice.config_schema import CONFIG


def found(body: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigInvalid) as caught:
        parse(body)
    return [(finding.pointer, finding.code) for finding in caught.value.findings]


def test_it_reads_the_design_s_example() -> None:
    config = parse(json.loads(EXAMPLE))
    assert config.connectors["stt"] == Connector("deepgram", ("openai", "local"), {})
    assert config.connectors["llm"] == Connector("network", (), {})
    assert config.connectors["tts"].names == ("elevenlabs", "azure", "openai", "local")
    assert config.connectors["transport"].primary == "twilio"
    assert [config.next_of(name) for name in ("transport", "stt", "llm", "tts")] == [
        "stt", "llm", "tts", "transport",
    ]  # fmt: skip
    assert (config.turn.silence_ms, config.turn.greeting, config.turn.max_call_seconds) == (200, "...", 3600)
    assert config.turn.interrupt == "pause_then_decide"
    assert (config.system_prompt, config.name, config.version) == ("...", "voice_chat", 1)


@pytest.mark.parametrize(
    "body", [{}, json.loads(EXAMPLE), {"language": "de", "turn": {"filler": []}}], ids=str
)
def test_it_reads_again_what_it_has_written(body: dict[str, Any]) -> None:
    config = parse(body, network_id="network_1")
    written = json.loads(json.dumps(to_json(config)))
    assert parse(written) == config
    Draft202012Validator(CONFIG).validate(written)


def test_it_spells_out_the_defaults() -> None:
    config = parse({}, network_id="network_1")
    assert config.path("transport", "transport") == ("stt", "llm", "tts")
    assert config.connectors["stt"].names == ("deepgram", "openai", "local")
    assert config.connectors["llm"].names == ("network",)
    assert config.connectors["tts"].names == ("elevenlabs", "azure", "openai", "local")
    assert config.connectors["transport"].primary == "web"
    assert config.turn == TurnSettings()
    assert config.language == "en-US"


def test_it_lets_a_model_answer_where_no_network_is_named() -> None:
    llm = parse({}).connectors["llm"]
    assert llm.primary == "anthropic"
    assert llm.names[-1] == "rehearsal"
    assert "network" not in llm.names


def test_it_takes_the_provider_only_where_no_transport_is_named() -> None:
    assert parse({}, provider="livekit").connectors["transport"].primary == "livekit"
    named = {"connectors": {"transport": {"primary": "daily"}}}
    assert parse(named, provider="twilio").connectors["transport"].primary == "daily"


def test_it_takes_the_network_of_the_body_before_another() -> None:
    assert parse({"network_id": "network_2"}, network_id="network_1").network_id == "network_2"


def test_it_inserts_a_stage_by_config_alone() -> None:
    body = changed("connectors", "to_german", to={"primary": "translate", "config": {"target": "de"}})
    body["pipeline"]["flow"] = arrows(
        "transport>stt", "stt>llm", "llm>to_german", "to_german>tts", "tts>transport"
    )
    config = parse(body)
    assert config.path("llm", "tts") == ("to_german",)
    assert config.connectors["to_german"] == Connector("translate", (), {"target": "de"})


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        (("connectors", "stt", "primary"), "whisper", ("/connectors/stt/primary", "unknown_connector")),
        (("connectors", "llm", "primary"), "gpt", ("/connectors/llm/primary", "unknown_connector")),
        (("connectors", "tts", "fallback", 1), "nobody", ("/connectors/tts/fallback/1", "unknown_connector")),
        (("connectors", "tts", "fallback", 1), "azure", ("/connectors/tts/fallback/1", "repeated")),
        (("connectors", "tts", "fallback"), "azure", ("/connectors/tts/fallback", "not_a_list")),
        (("connectors", "transport", "primary"), "pigeon", ("/connectors/transport/primary", "unknown_connector")),
        (("connectors", "transport", "fallback"), ["web"], ("/connectors/transport/fallback/0", "not_possible")),
        (("connectors", "stt", "primary"), ..., ("/connectors/stt/primary", "required")),
        (("connectors", "stt", "primary"), "", ("/connectors/stt/primary", "required")),
        (("connectors", "stt", "primary"), 5, ("/connectors/stt/primary", "not_a_string")),
        (("connectors", "stt"), "deepgram", ("/connectors/stt", "not_an_object")),
        (("connectors", "stt"), None, ("/connectors/stt", "null")),
        (("connectors", "stt", "secondary"), "openai", ("/connectors/stt/secondary", "unknown_field")),
        (("connectors", "stt", "config"), [], ("/connectors/stt/config", "not_an_object")),
        (("connectors", "stt", "config"), {"phrases": "yes"}, ("/connectors/stt/config/phrases", "not_a_list")),
        (("connectors", "stt", "config"), {"x": "y" * 20_000}, ("/connectors/stt/config", "too_long")),
        (("connectors", "tts", "config"), {"speed": 9}, ("/connectors/tts/config/speed", "out_of_range")),
        (("connectors", "llm", "config"), {"agent_id": 1}, ("/connectors/llm/config/agent_id", "not_a_string")),
        (("connectors",), [], ("/connectors", "not_an_object")),
        (("pipeline", "flow", 1, "to"), "sentiment", ("/pipeline/flow/1/to", "unknown_service")),
        (("pipeline", "flow", 1, "to"), ..., ("/pipeline/flow/1/to", "required")),
        (("pipeline", "flow", 1, "stream"), "video", ("/pipeline/flow/1/stream", "invalid_choice")),
        (("pipeline", "flow", 1, "stream"), "audio", ("/pipeline/flow/1/stream", "wrong_stream")),
        (("pipeline", "flow", 1, "via"), "x", ("/pipeline/flow/1/via", "unknown_field")),
        (("pipeline", "flow", 3), ..., ("/pipeline/flow/2/to", "dead_end")),
        (("pipeline", "flow", 0), ..., ("/pipeline/flow", "no_start")),
        (("pipeline", "flow"), [], ("/pipeline/flow", "no_start")),
        (("pipeline", "flow"), {}, ("/pipeline/flow", "not_a_list")),
        (("pipeline", "flow", 2, "to"), "stt", ("/pipeline/flow/2/to", "cycle")),
        (("pipeline", "name"), "", ("/pipeline/name", "blank")),
        (("pipeline",), "voice_chat", ("/pipeline", "not_an_object")),
        (("turn", "silence_ms"), "200", ("/turn/silence_ms", "not_an_integer")),
        (("turn", "silence_ms"), True, ("/turn/silence_ms", "not_an_integer")),
        (("turn", "silence_ms"), 200.5, ("/turn/silence_ms", "not_an_integer")),
        (("turn", "silence_ms"), float("inf"), ("/turn/silence_ms", "not_an_integer")),
        (("turn", "silence_ms"), 5, ("/turn/silence_ms", "out_of_range")),
        (("turn", "silence_ms"), None, ("/turn/silence_ms", "null")),
        (("turn", "interrupt"), "maybe", ("/turn/interrupt", "invalid_choice")),
        (("turn", "speculate"), 1, ("/turn/speculate", "not_a_boolean")),
        (("turn", "filler"), ["", "Hm."], ("/turn/filler/0", "blank")),
        (("turn", "filler"), [None], ("/turn/filler/0", "not_a_string")),
        (("turn", "patience"), 9, ("/turn/patience", "unknown_field")),
        (("turn", "record"), True, ("/turn/consent_prompt", "required")),
        (("turn", "voicemail"), "message", ("/turn/voicemail_message", "required")),
        (("turn", "greeting"), "x" * 2001, ("/turn/greeting", "too_long")),
        (("system_prompt",), 5, ("/system_prompt", "not_a_string")),
        (("system_prompt",), "x" * 20_001, ("/system_prompt", "too_long")),
        (("language",), "English please", ("/language", "invalid_language")),
        (("network_id",), "", ("/network_id", "blank")),
        (("prompt",), "x", ("/prompt", "unknown_field")),
        (("a/b~c",), 1, ("/a~1b~0c", "unknown_field")),
    ],
    ids=str,
)  # fmt: skip
def test_it_names_what_is_wrong(path: tuple[Any, ...], value: Any, finding: tuple[str, str]) -> None:
    assert found(changed(*path, to=value)) == [finding]


def test_it_names_a_service_that_an_own_flow_has_no_connector_for() -> None:
    assert found(changed("connectors", "tts", to=...)) == [
        ("/pipeline/flow/2/to", "unknown_service"),
        ("/pipeline/flow/3/from", "unknown_service"),
    ]


def test_it_takes_the_default_connector_of_a_service_where_the_flow_is_the_default() -> None:
    body = changed("connectors", "tts", to=...)
    del body["pipeline"]["flow"]
    assert parse(body).connectors["tts"].primary == "elevenlabs"


@pytest.mark.parametrize(
    ("flow", "findings"),
    [
        (arrows("transport>transport"), [("/pipeline/flow", "missing_service")] * 3),
        (
            arrows("transport>llm", "llm>stt", "stt>tts", "tts>transport"),
            [("/pipeline/flow/0/to", "wrong_order")],
        ),
        (
            arrows("transport>stt", "stt>tts", "tts>llm", "llm>transport"),
            [("/pipeline/flow/3/from", "wrong_order")],
        ),
        (
            arrows("transport>stt", "stt>tts", "tts>transport"),
            [("/pipeline/flow", "missing_service")],
        ),
        (
            arrows("transport>stt", "stt>llm", "stt>tts", "llm>tts", "tts>transport"),
            [("/pipeline/flow/2/from", "second_consumer")],
        ),
        (
            [*arrows("transport>stt", "stt>llm", "llm>tts", "tts>transport"), *arrows("f>f")],
            [("/pipeline/flow/4/to", "cycle")],
        ),
        (
            [*arrows("transport>stt", "stt>llm", "llm>tts", "tts>transport"), *arrows("f>tts")],
            [("/pipeline/flow/4/from", "unreachable")],
        ),
        (arrows("transport>stt", "stt>stt"), [("/pipeline/flow/1/to", "cycle")]),
    ],
    ids=str,
)
def test_it_names_what_makes_no_circle(flow: list[dict[str, str]], findings: list[tuple[str, str]]) -> None:
    body = changed("pipeline", "flow", to=flow)
    body["connectors"]["f"] = {"primary": "filter"}
    assert found(body) == findings


def test_it_names_everything_at_once() -> None:
    body = changed("connectors", "stt", "primary", to="whisper")
    body["turn"] = {"silence_ms": "soon", "patience": 1}
    body["pipeline"]["flow"][3]["to"] = "nowhere"
    body["system_prompt"] = 7
    assert sorted(pointer for pointer, _ in found(body)) == [
        "/connectors/stt/primary",
        "/pipeline/flow/3/to",
        "/system_prompt",
        "/turn/patience",
        "/turn/silence_ms",
    ]


def test_it_leaves_what_it_reads_unchanged() -> None:
    body = json.loads(EXAMPLE)
    before = deepcopy(body)
    parse(body)
    assert body == before


def test_it_has_a_rule_for_every_setting_of_a_turn() -> None:
    assert set(TURN) == {field.name for field in fields(TurnSettings)}
