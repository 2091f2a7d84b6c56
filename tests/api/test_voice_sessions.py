"""Voice sessions over HTTP: created with a config, listed, read, changed, extended, ended, cleaned up."""

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.models import Agent
from networks.models import Network
from tests.unit.voice_config_bodies import EXAMPLE, changed
from voice import tokens
from voice.addresses import token_key
from voice.models import PhoneCall, VoiceSession

from .conftest import Caller, make_caller

pytestmark = pytest.mark.django_db

SESSIONS = "/api/voice/sessions"
NEW = f"{SESSIONS}/with-config"


@pytest.fixture
def session(owner: Caller, network: Network) -> str:
    response = owner.post(NEW, {"network_id": network.pk, "system_prompt": "Be kind."})
    assert response.status_code == 201, response.content
    return str(response.json()["id"])


@pytest.fixture
def expire() -> Callable[[str], None]:
    def expire(session: str) -> None:
        VoiceSession.objects.filter(pk=session).update(expires_at=timezone.now() - timedelta(seconds=1))

    return expire


def pointers(response: Any) -> list[str]:
    assert response.status_code == 422, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    return [error["pointer"] for error in response.json()["errors"]]


# --- created -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [NEW, "/sessions/with-config", "/api/sessions"])
def test_it_accepts_the_design_s_example_byte_for_byte(owner: Caller, network: Network, path: str) -> None:
    response = owner.send("POST", path, EXAMPLE.encode())
    assert response.status_code == 201, response.content
    made = response.json()
    assert made["session_id"] == made["id"]
    assert response.headers["Location"] == f"{SESSIONS}/{made['id']}"
    assert (made["network_id"], made["provider"], made["version"]) == (network.pk, "twilio", 1)
    assert made["transport"]["type"] == "twilio"
    assert made["transport"]["twiml_url"].endswith(f"/twilio/voice/{made['id']}")
    left = datetime.fromisoformat(made["expires_at"]) - timezone.now()
    assert timedelta(seconds=3590) < left <= timedelta(seconds=3600)


def test_it_shows_a_browser_its_socket(owner: Caller, network: Network) -> None:
    made = owner.post(NEW, {"network_id": network.pk, "provider": "web", "ttl_seconds": 60}).json()
    transport = made["transport"]
    assert transport["ws_url"].startswith("ws")
    assert transport["ws_url"].endswith(f"/ws/voice/web/{transport['token']}")
    assert transport["audio"] == {"encoding": "pcm16", "sample_rates": [16_000, 24_000]}
    assert made["ttl_seconds"] == 60


def test_it_opens_the_browsers_socket_for_as_long_as_the_session_lives(
    owner: Caller, network: Network
) -> None:
    made = owner.post(NEW, {"network_id": network.pk, "provider": "web", "ttl_seconds": 60}).json()
    longer = owner.post(f"{SESSIONS}/{made['id']}/ttl", {"ttl_seconds": 7200}).json()
    in_an_hour = time.time() + 3600
    with pytest.raises(tokens.TokenRefused):
        tokens.read(token_key(), "browser", made["transport"]["token"], now=in_an_hour)
    ticket = tokens.read(token_key(), "browser", longer["transport"]["token"], now=in_an_hour)
    assert longer["transport"]["ws_url"].endswith(longer["transport"]["token"])
    assert ticket.subject == made["id"]


def test_it_lets_the_transport_of_the_config_win(owner: Caller, network: Network) -> None:
    body = {"provider": "twilio", "connectors": {"transport": {"primary": "web"}}}
    assert owner.post(NEW, body).json()["provider"] == "web"


@pytest.mark.parametrize(
    ("provider", "missing"), [("livekit", "LIVEKIT_API_KEY"), ("daily", "DAILY_API_KEY")]
)
def test_it_names_the_vendor_that_is_not_configured(
    owner: Caller, network: Network, provider: str, missing: str
) -> None:
    response = owner.post(NEW, {"network_id": network.pk, "provider": provider})
    assert pointers(response) == ["/provider"]
    problem = response.json()
    assert problem["code"] == "not_available"
    assert provider in problem["detail"]
    assert missing in problem["detail"]
    assert not VoiceSession.objects.exists()
    by_connector = owner.post(NEW, {"connectors": {"transport": {"primary": provider}}})
    assert pointers(by_connector) == ["/connectors/transport/primary"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (changed("connectors", "stt", "primary", to="whisper"), "/connectors/stt/primary"),
        (changed("connectors", "stt", "primary", to=...), "/connectors/stt/primary"),
        (changed("pipeline", "flow", 1, "to", to="sentiment"), "/pipeline/flow/1/to"),
        (changed("pipeline", "flow", 2, "to", to="stt"), "/pipeline/flow/2/to"),
        (changed("ttl_seconds", to=0), "/ttl_seconds"),
        (changed("ttl_seconds", to=-5), "/ttl_seconds"),
        (changed("ttl_seconds", to="1h"), "/ttl_seconds"),
        (changed("ttl_seconds", to=None), "/ttl_seconds"),
        (changed("ttl_seconds", to=10**9), "/ttl_seconds"),
        (changed("provider", to="pigeon"), "/provider"),
        (changed("network_id", to="network_of_nobody"), "/network_id"),
        (changed("connectors", "llm", "config", to={"agent_id": "agent_x"}), "/connectors/llm/config/agent_id"),
        (changed("config", to={}), "/config"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
@pytest.mark.parametrize("path", [NEW, f"{SESSIONS}/validate"])
def test_it_answers_422_that_names_the_field(
    owner: Caller, network: Network, body: dict[str, Any], wrong: str, path: str
) -> None:
    assert pointers(owner.post(path, body)) == [wrong]
    assert not VoiceSession.objects.exists()


def test_it_names_every_field_at_once(owner: Caller, network: Network) -> None:
    body = {
        "ttl_seconds": 0,
        "turn": {"silence_ms": "x"},
        "connectors": {"tts": {"primary": "x"}},
        "extra": 1,
    }
    assert sorted(pointers(owner.post(NEW, body))) == [
        "/connectors/tts/primary",
        "/extra",
        "/ttl_seconds",
        "/turn/silence_ms",
    ]


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"null", b"7"])
def test_it_refuses_what_is_no_object(owner: Caller, network: Network, raw: bytes) -> None:
    assert pointers(owner.send("POST", NEW, raw)) == [""]


def test_it_asks_for_a_network_where_there_is_none(owner: Caller) -> None:
    assert pointers(owner.post(NEW, {"connectors": {"llm": {"primary": "network"}}})) == ["/network_id"]


def test_it_needs_no_network_where_a_model_answers(owner: Caller) -> None:
    response = owner.post(NEW, {"connectors": {"llm": {"primary": "openai", "fallback": ["anthropic"]}}})
    assert response.status_code == 201
    assert response.json()["network_id"] is None


def test_it_takes_an_agent_of_the_network(owner: Caller, network: Network) -> None:
    agent = Agent.objects.filter(network=network).first()
    assert agent is not None
    body = changed("connectors", "llm", "config", to={"agent_id": agent.pk})
    made = owner.post(NEW, body | {"network_id": network.pk}).json()
    config = owner.get(f"{SESSIONS}/{made['id']}/config").json()["config"]
    assert config["connectors"]["llm"]["config"] == {"agent_id": agent.pk}


def test_it_creates_once_for_an_idempotency_key(owner: Caller, network: Network) -> None:
    first = owner.post(NEW, json.loads(EXAMPLE), Idempotency_Key="once")
    again = owner.post(NEW, json.loads(EXAMPLE), Idempotency_Key="once")
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert VoiceSession.objects.count() == 1


def test_it_validates_without_creating(owner: Caller, network: Network) -> None:
    response = owner.send("POST", f"{SESSIONS}/validate", EXAMPLE.encode())
    assert response.status_code == 200
    shown = response.json()
    assert (shown["valid"], shown["provider"], shown["ttl_seconds"]) == (True, "twilio", 3600)
    assert shown["config"]["network_id"] == network.pk
    assert shown["config"]["turn"]["filler"] == ["One moment.", "Let me see."]
    assert not VoiceSession.objects.exists()


# --- read and changed -----------------------------------------------------------------------------------


def test_it_lists_what_is_live(owner: Caller, session: str, expire: Callable[[str], None]) -> None:
    other = owner.post(NEW, {"provider": "twilio"}).json()["id"]
    ended = owner.post(NEW, {}).json()["id"]
    expired = owner.post(NEW, {}).json()["id"]
    owner.delete(f"{SESSIONS}/{ended}")
    expire(expired)
    response = owner.get(SESSIONS)
    assert [row["id"] for row in response.json()] == [other, session]
    assert response.headers["X-Total-Count"] == "2"
    assert [row["id"] for row in owner.get(f"{SESSIONS}?provider=twilio").json()] == [other]


def test_it_shows_a_session_with_who_is_in_it(owner: Caller, session: str) -> None:
    call = PhoneCall.objects.create(
        project=owner.project,
        session_id=session,
        transport="twilio",
        state="active",
        from_number="+15005550001",
        started_at=timezone.now(),
    )
    PhoneCall.objects.create(project=owner.project, session_id=session, transport="web", state="ended")
    shown = owner.get(f"{SESSIONS}/{session}").json()
    assert shown["config"]["system_prompt"] == "Be kind."
    [participant] = shown["participants"]
    assert participant["call_id"] == call.pk
    assert participant["name"] == "+15005550001"
    assert participant["state"] == "active"
    assert "token" not in json.dumps(shown)


def test_it_replaces_the_config_and_counts_versions(owner: Caller, session: str, network: Network) -> None:
    address = f"{SESSIONS}/{session}/config"
    body = owner.get(address).json()["config"] | {"system_prompt": "Be brief.", "turn": {"silence_ms": 300}}
    response = owner.put(address, body)
    assert response.status_code == 200, response.content
    assert response.json()["version"] == 2
    shown = owner.get(address).json()
    assert shown["version"] == 2
    assert shown["config"]["system_prompt"] == "Be brief."
    assert shown["config"]["turn"]["silence_ms"] == 300
    assert shown["config"]["network_id"] == network.pk


def test_it_refuses_a_config_that_is_wrong_and_keeps_the_old_one(owner: Caller, session: str) -> None:
    address = f"{SESSIONS}/{session}/config"
    assert pointers(owner.put(address, {"turn": {"silence_ms": 1}})) == ["/turn/silence_ms"]
    moved = {"connectors": {"transport": {"primary": "twilio"}}}
    assert pointers(owner.put(address, moved)) == ["/connectors/transport/primary"]
    assert pointers(owner.put(address, {"ttl_seconds": 5})) == ["/ttl_seconds"]
    assert owner.get(address).json()["version"] == 1


def test_it_sets_the_life_that_is_left_and_never_adds(owner: Caller, session: str) -> None:
    address = f"{SESSIONS}/{session}/ttl"
    assert 3590 < owner.get(address).json()["ttl_seconds"] <= 3600
    response = owner.post(address, {"ttl_seconds": 60})
    assert response.status_code == 200
    assert response.json()["ttl_seconds"] == 60
    assert owner.get(address).json()["ttl_seconds"] <= 60
    assert owner.post(address, {"ttl_seconds": 7200}).json()["ttl_seconds"] == 7200
    assert owner.get(f"{SESSIONS}/{session}").json()["version"] == 1


@pytest.mark.parametrize("body", [{}, {"ttl_seconds": 0}, {"ttl_seconds": "60"}, {"ttl_seconds": 1e12}])
def test_it_refuses_a_bad_ttl(owner: Caller, session: str, body: dict[str, Any]) -> None:
    assert pointers(owner.post(f"{SESSIONS}/{session}/ttl", body)) == ["/ttl_seconds"]


# --- over --------------------------------------------------------------------------------------------


def test_it_says_that_an_expired_session_is_gone(
    owner: Caller, session: str, expire: Callable[[str], None]
) -> None:
    expire(session)
    for answer in (
        owner.get(f"{SESSIONS}/{session}"),
        owner.get(f"{SESSIONS}/{session}/config"),
        owner.put(f"{SESSIONS}/{session}/config", {}),
        owner.get(f"{SESSIONS}/{session}/ttl"),
        owner.post(f"{SESSIONS}/{session}/ttl", {"ttl_seconds": 60}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (410, "session_over")


def test_it_ends_a_session(owner: Caller, session: str) -> None:
    assert owner.delete(f"{SESSIONS}/{session}").status_code == 204
    assert owner.get(f"{SESSIONS}/{session}").status_code == 410
    assert owner.delete(f"{SESSIONS}/{session}").status_code == 204


def test_it_cleans_up_what_is_over_and_of_nobody_else(
    owner: Caller, stranger: Caller, session: str, expire: Callable[[str], None]
) -> None:
    gone = [owner.post(NEW, {}).json()["id"] for _ in range(2)]
    expire(gone[0])
    owner.delete(f"{SESSIONS}/{gone[1]}")
    assert stranger.post(f"{SESSIONS}/cleanup").json() == {"removed": 0}
    assert owner.post(f"{SESSIONS}/cleanup").json() == {"removed": 2}
    assert owner.post(f"{SESSIONS}/cleanup").json() == {"removed": 0}
    assert owner.get(f"{SESSIONS}/{gone[0]}").status_code == 404
    assert owner.get(f"{SESSIONS}/{session}").status_code == 200


# --- who may -----------------------------------------------------------------------------------------


def test_it_needs_the_scope_voice(owner: Caller, network: Network) -> None:
    writer = make_caller(owner.project, "read", "write")
    response = writer.post(NEW, {})
    assert (response.status_code, response.json()["code"]) == (403, "missing_scope")
    assert make_caller(owner.project, "voice").post(NEW, {}).status_code == 201


def test_it_keeps_a_restricted_key_to_its_networks(owner: Caller, network: Network) -> None:
    other = owner.post("/api/mesh/networks", {"name": "Another"}).json()["id"]
    restricted = make_caller(owner.project, "voice", network_ids=[network.pk])
    assert pointers(restricted.post(NEW, {"network_id": other})) == ["/network_id"]
    assert restricted.post(NEW, {}).json()["network_id"] == network.pk
    hidden = owner.post(NEW, {"network_id": other}).json()["id"]
    unbound = owner.post(NEW, {"connectors": {"llm": {"primary": "openai"}}}).json()["id"]
    for session in (hidden, unbound):
        assert restricted.get(f"{SESSIONS}/{session}").status_code == 404
    assert len(restricted.get(SESSIONS).json()) == 1


def test_it_takes_no_network_of_the_stranger(owner: Caller, stranger: Caller, network: Network) -> None:
    assert pointers(stranger.post(NEW, {"network_id": network.pk})) == ["/network_id"]
