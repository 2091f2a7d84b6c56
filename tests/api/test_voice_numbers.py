"""Telephone numbers over HTTP: registered with a network and a config, changed, let go of."""

from typing import Any

import pytest

from networks.models import Network
from voice.models import PhoneNumber

from .conftest import Caller, make_caller
from .voice_world import make_number

pytestmark = pytest.mark.django_db

NUMBERS = "/api/voice/numbers"


def pointers(response: Any) -> list[str]:
    assert response.status_code == 422, response.content
    return [error["pointer"] for error in response.json()["errors"]]


def test_it_registers_a_number_with_its_network_and_config(owner: Caller, network: Network) -> None:
    body = {
        "number": "+15005550006",
        "network_id": network.pk,
        "label": "Support",
        "config": {"turn": {"greeting": "Hello."}},
    }
    response = owner.post(NUMBERS, body)
    assert response.status_code == 201, response.content
    made = response.json()
    assert made.items() >= (body | {"active": True, "sip_uri": ""}).items()
    assert made["webhook_url"].endswith("/twilio/voice")
    assert response.headers["Location"] == f"{NUMBERS}/{made['id']}"
    assert owner.get(f"{NUMBERS}/{made['id']}").json() == made
    assert [row["id"] for row in owner.get(NUMBERS).json()] == [made["id"]]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["/number"]),
        ({"number": "15005550006"}, ["/number"]),
        ({"number": "+0500555"}, ["/number"]),
        ({"number": "+15005550006", "network_id": "network_of_nobody"}, ["/network_id"]),
        ({"number": "+15005550006", "sip_uri": "http://example.com"}, ["/sip_uri"]),
        ({"number": "+15005550006", "active": "yes"}, ["/active"]),
        ({"number": "+15005550006", "config": []}, ["/config"]),
        ({"number": "+15005550006", "config": {"turn": {"silence_ms": 1}}}, ["/config/turn/silence_ms"]),
        (
            {"number": "+15005550006", "config": {"connectors": {"stt": {"primary": "x"}}, "prompt": ""}},
            ["/config/prompt", "/config/connectors/stt/primary"],
        ),
        (
            {"number": "+15005550006", "config": {"connectors": {"llm": {"primary": "network"}}}},
            ["/config/connectors/llm/primary"],
        ),
    ],
    ids=str,
)
def test_it_names_what_is_wrong(
    owner: Caller, network: Network, body: dict[str, Any], wrong: list[str]
) -> None:
    assert pointers(owner.post(NUMBERS, body)) == wrong
    assert not PhoneNumber.objects.exists()


def test_it_refuses_a_number_that_somebody_has(owner: Caller, stranger: Caller, network: Network) -> None:
    make_number(network)
    response = stranger.post(NUMBERS, {"number": "+15005550006"})
    assert (response.status_code, response.json()["code"]) == (409, "number_taken")
    other = make_number(network, "+15005550007")
    response = owner.patch(f"{NUMBERS}/{other.pk}", {"number": "+15005550006"})
    assert (response.status_code, response.json()["code"]) == (409, "number_taken")


def test_it_changes_and_lets_go(owner: Caller, network: Network) -> None:
    number = make_number(network)
    address = f"{NUMBERS}/{number.pk}"
    changes = {"label": "Sales", "active": False, "sip_uri": "sip:agent@example.com"}
    assert owner.patch(address, changes).json().items() >= changes.items()
    assert pointers(owner.patch(address, {"config": {"language": "?"}})) == ["/config/language"]
    assert owner.patch(address, {"config": {"language": "de"}}).json()["config"] == {"language": "de"}
    assert owner.delete(address).status_code == 204
    assert owner.get(address).status_code == 404


def test_it_lets_no_config_stay_without_the_network_it_needs(owner: Caller, network: Network) -> None:
    number = make_number(network)
    number.config = {"connectors": {"llm": {"primary": "network"}}}
    number.save()
    response = owner.patch(f"{NUMBERS}/{number.pk}", {"network_id": None})
    assert pointers(response) == ["/config/connectors/llm/primary"]


def test_it_keeps_a_restricted_key_to_its_networks(owner: Caller, network: Network) -> None:
    other = owner.post("/api/mesh/networks", {"name": "Another"}).json()["id"]
    restricted = make_caller(owner.project, "voice", network_ids=[network.pk])
    hidden = owner.post(NUMBERS, {"number": "+15005550006", "network_id": other}).json()["id"]
    mine = owner.post(NUMBERS, {"number": "+15005550007", "network_id": network.pk}).json()["id"]
    assert [row["id"] for row in restricted.get(NUMBERS).json()] == [mine]
    assert restricted.get(f"{NUMBERS}/{hidden}").status_code == 404
    assert pointers(restricted.post(NUMBERS, {"number": "+15005550008"})) == ["/network_id"]
    assert pointers(restricted.patch(f"{NUMBERS}/{mine}", {"network_id": None})) == ["/network_id"]
