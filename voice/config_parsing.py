"""From JSON to a session's config, with every finding at once. Pure.

`parse` is the only way in: for the API, the admin, files, and what was stored. `to_json` is the way back:
`parse(to_json(config))` is the same config.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from agents.providers.registry import PROVIDERS
from voice.config import TRANSPORT, Connector, DialogSettings, SessionConfig, TurnSettings
from voice.config_flow import LLM, STT, TTS, read_flow
from voice.config_reading import Finding, Findings, escape
from voice.config_rules import DIALOG, OPTIONS, TURN, Rule
from voice.connectors.registry import RECOGNISERS, VOICES
from voice.transports.registry import TRANSPORTS

NETWORK: Final = "network"
#: What can do the work of each service: vendors first, what needs no key last.
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    STT: tuple(RECOGNISERS),
    LLM: (NETWORK, *PROVIDERS),
    TTS: tuple(VOICES),
    TRANSPORT: tuple(TRANSPORTS),
}
TEXT_STAGES: Final = ("translate", "filter")

MOST_PROMPT: Final = 20_000  # characters
MOST_CONNECTORS: Final = 20
MOST_FALLBACKS: Final = 10
MOST_CONFIG: Final = 16 * 1024  # bytes of one connector's config
MEMBERS: Final = ("system_prompt", "pipeline", "connectors", "turn", "language", "network_id", "dialog")


class ConfigInvalid(ValueError):
    """A config that cannot be used; `findings` names each place."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{at or 'The config'}: {message}" for at, message, _ in findings))
        self.findings = tuple(findings)


def parse(
    body: Mapping[str, Any], *, provider: str = "", network_id: str = "", version: int = 1
) -> SessionConfig:
    """Return the config that a JSON object describes; what it leaves out takes its default.

    `provider` is the transport of a config that names none; `network_id` the network of one that names none.
    Raises `ConfigInvalid`.
    """
    findings = Findings()
    config = read(findings, body, provider=provider, network_id=network_id, version=version)
    if findings.found:
        raise ConfigInvalid(findings.found)
    return config


def read(
    findings: Findings,
    body: Mapping[str, Any],
    *,
    provider: str = "",
    network_id: str = "",
    version: int = 1,
    beside: Collection[str] = (),
) -> SessionConfig:
    """As `parse`, with what is wrong added to `findings`, for a body with other members `beside` the config's."""
    members = findings.mapping(body, "", known=(*MEMBERS, *beside))
    pipeline = findings.mapping(members.get("pipeline"), "/pipeline", known=("name", "flow"))
    network = findings.text(members.get("network_id"), "/network_id", least=1, most=40) or network_id
    connectors = _connectors(findings, members.get("connectors"), provider or "web", bool(network))
    services = {TRANSPORT, *connectors}
    if pipeline.get("flow") is not None and members.get("connectors") is not None:
        # Who draws the flow himself describes its services himself: a forgotten one is not filled in.
        services = {TRANSPORT, *_described(members["connectors"])}
    return SessionConfig(
        system_prompt=findings.text(members.get("system_prompt"), "/system_prompt", most=MOST_PROMPT),
        name=findings.text(pipeline.get("name"), "/pipeline/name", default="voice_chat", least=1, most=100),
        flow=read_flow(findings, pipeline.get("flow"), services),
        connectors=connectors,
        turn=_turn(findings, members.get("turn")),
        language=findings.language(members.get("language"), "/language", default="en-US"),
        network_id=network,
        version=version,
        dialog=_dialog(findings, members.get("dialog")),
    )


def to_json(config: SessionConfig) -> dict[str, Any]:
    """Everything but the version, with the defaults spelled out."""
    described: dict[str, Any] = {
        "system_prompt": config.system_prompt,
        "pipeline": {
            "name": config.name,
            "flow": [{"from": e.source, "to": e.target, "stream": e.stream} for e in config.flow],
        },
        "connectors": {
            name: {"primary": c.primary, "fallback": list(c.fallback), "config": dict(c.config)}
            for name, c in config.connectors.items()
        },
        "turn": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config.turn).items()},
        "language": config.language,
    }
    if config.dialog is not None:
        described["dialog"] = {**asdict(config.dialog), "input": dict(config.dialog.input)}
    return described | ({"network_id": config.network_id} if config.network_id else {})


# --- connectors ------------------------------------------------------------------------------------------


def _connectors(findings: Findings, value: Any, provider: str, has_network: bool) -> dict[str, Connector]:
    members = findings.mapping(value, "/connectors", nulls=False)
    if len(members) > MOST_CONNECTORS:
        findings.add("/connectors", f"At most {MOST_CONNECTORS} of them.", "too_many")
        members = {name: members[name] for name in list(members)[:MOST_CONNECTORS]}
    connectors = _defaults(provider, has_network)
    for name, described in members.items():
        connectors[name] = _connector(findings, name, described)
    return connectors


def _defaults(provider: str, has_network: bool) -> dict[str, Connector]:
    """Vendors first and what needs none last; services without a key are passed over in a call."""
    models = tuple(PROVIDERS)
    return {
        STT: Connector(CHOICES[STT][0], CHOICES[STT][1:]),
        LLM: Connector(NETWORK) if has_network else Connector(models[0], models[1:]),
        TTS: Connector(CHOICES[TTS][0], CHOICES[TTS][1:]),
        TRANSPORT: Connector(provider),
    }


def _described(connectors: Any) -> list[str]:
    if not isinstance(connectors, Mapping):
        return [STT, LLM, TTS]
    return list(connectors)


def _connector(findings: Findings, name: str, value: Any) -> Connector:
    at = f"/connectors/{escape(name)}"
    choices = CHOICES.get(name, TEXT_STAGES)
    members = findings.mapping(value, at, known=("primary", "fallback", "config"))
    primary = members.get("primary")
    if isinstance(value, Mapping) and primary in (None, ""):
        findings.add(f"{at}/primary", f"Must name what does the work: {', '.join(choices)}.", "required")
        primary = None
    chosen = findings.choice(primary, f"{at}/primary", default="", choices=choices, code="unknown_connector")
    fallback: list[str] = []
    for index, other in enumerate(
        findings.texts(members.get("fallback"), f"{at}/fallback", default=(), most=MOST_FALLBACKS, longest=60)
    ):
        place = f"{at}/fallback/{index}"
        if other in (chosen, *fallback):
            findings.add(place, f"`{other}` is in the chain already.", "repeated")
        elif name == TRANSPORT:
            findings.add(place, "A transport has no fallback.", "not_possible")
        elif other:
            fallback.append(
                findings.choice(other, place, default="", choices=choices, code="unknown_connector")
            )
    rules = OPTIONS.get(name if name in CHOICES else chosen, {})
    return Connector(
        chosen, tuple(fallback), _options(findings, rules, members.get("config"), f"{at}/config")
    )


def _options(findings: Findings, rules: Mapping[str, Rule], value: Any, at: str) -> Mapping[str, Any]:
    """What a connector is told. Vendors have settings of their own; those that we read are checked."""
    members = findings.mapping(value, at)
    if len(json.dumps(members, default=str)) > MOST_CONFIG:
        findings.add(at, f"Longer than {MOST_CONFIG // 1024} KiB.", "too_long")
        return {}
    for member, rule in rules.items():
        rule.read(findings, members.get(member), f"{at}/{member}", None)
    return dict(members)


def _turn(findings: Findings, value: Any) -> TurnSettings:
    members = findings.mapping(value, "/turn", known=TURN)
    defaults = TurnSettings()
    turn = TurnSettings(
        **{
            name: rule.read(findings, members.get(name), f"/turn/{name}", getattr(defaults, name))
            for name, rule in TURN.items()
        }
    )
    if turn.record and not turn.consent_prompt:
        findings.add(
            "/turn/consent_prompt",
            "Recording needs the caller's consent: say how it is asked for.",
            "required",
        )
    if turn.voicemail == "message" and not turn.voicemail_message:
        findings.add("/turn/voicemail_message", "Say what is left as a message.", "required")
    return turn


def _dialog(findings: Findings, value: Any) -> DialogSettings | None:
    if value is None:
        return None
    members = findings.mapping(value, "/dialog", known=DIALOG)
    if isinstance(value, Mapping) and members.get("workflow_id") in (None, ""):
        findings.add("/dialog/workflow_id", "Name the workflow that leads the call.", "required")
        return None
    defaults = DialogSettings("")
    return DialogSettings(
        **{
            name: rule.read(findings, members.get(name), f"/dialog/{name}", getattr(defaults, name))
            for name, rule in DIALOG.items()
        }
    )
