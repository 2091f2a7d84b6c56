"""Phone calls over HTTP: placed, listed, read with what was said, their events paged and streamed."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from networks.models import Network
from voice.models import CallEvent, PhoneCall
from web.views import in_database

from .conftest import Caller
from .streams import stream
from .voice_world import make_call, make_number, never_dial

pytestmark = pytest.mark.django_db

CALLS = "/api/voice/calls"


def pointers(response: Any) -> list[str]:
    assert response.status_code == 422, response.content
    return [error["pointer"] for error in response.json()["errors"]]


# --- placed ------------------------------------------------------------------------------------------


def test_it_calls_somebody_on_behalf_of_a_network(
    owner: Caller, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = never_dial(monkeypatch)
    response = owner.post(CALLS, {"to": "+15005550002", "network_id": network.pk})
    assert response.status_code == 201, response.content
    made = response.json()
    assert (made["direction"], made["state"], made["to"]) == ("outbound", "dialling", "+15005550002")
    assert response.headers["Location"] == f"{CALLS}/{made['id']}"
    assert asked[0]["network_id"] == network.pk
    assert asked[0]["config"]["connectors"]["llm"]["primary"] == "network"
    assert asked[0]["request_id"]


def test_it_calls_somebody_with_a_session_s_config(
    owner: Caller, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = never_dial(monkeypatch)
    body = {"network_id": network.pk, "system_prompt": "Sell.", "provider": "twilio"}
    session = owner.post("/api/voice/sessions/with-config", body).json()["id"]
    made = owner.post(CALLS, {"to": "sip:ann@example.com", "session_id": session}).json()
    assert made["session_id"] == session
    assert asked[0]["config"]["system_prompt"] == "Sell."
    owner.delete(f"/api/voice/sessions/{session}")
    assert owner.post(CALLS, {"to": "+15005550002", "session_id": session}).status_code == 410


def test_it_calls_once_for_an_idempotency_key(
    owner: Caller, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = never_dial(monkeypatch)
    body = {"to": "+15005550002", "network_id": network.pk}
    first = owner.post(CALLS, body, Idempotency_Key="once")
    assert owner.post(CALLS, body, Idempotency_Key="once").json() == first.json()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "/to"),
        ({"to": "5550002"}, "/to"),
        ({"to": "+15005550002"}, "/network_id"),
        ({"to": "+15005550002", "network_id": "network_of_nobody"}, "/network_id"),
        ({"to": "+15005550002", "network_id": "x", "config": {}}, "/config"),
    ],
    ids=str,
)
def test_it_names_what_is_wrong(
    owner: Caller, network: Network, body: dict[str, Any], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = never_dial(monkeypatch)
    assert pointers(owner.post(CALLS, body)) == [wrong]
    assert not asked


def test_it_says_that_no_telephone_company_is_configured(owner: Caller, network: Network) -> None:
    response = owner.post(CALLS, {"to": "+15005550002", "network_id": network.pk})
    assert (response.status_code, response.json()["code"]) == (422, "not_available")
    assert "TWILIO_ACCOUNT_SID" in response.json()["detail"]
    assert not PhoneCall.objects.exists()


def test_it_calls_nobody_for_a_network_that_is_paused(owner: Caller, network: Network) -> None:
    owner.patch(f"/api/mesh/networks/{network.pk}", {"status": "paused"})
    response = owner.post(CALLS, {"to": "+15005550002", "network_id": network.pk})
    assert (response.status_code, response.json()["code"]) == (409, "network_paused")


# --- read --------------------------------------------------------------------------------------------


def test_it_lists_by_what_is_asked_for(owner: Caller, network: Network) -> None:
    make_number(network)
    old = make_call(network, direction="outbound", session_id="session_1")
    PhoneCall.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=2))
    new = make_call(network, state="active", ended_at=None)
    yesterday = quote((timezone.now() - timedelta(days=1)).isoformat())

    def ids(query: str) -> list[str]:
        response = owner.get(f"{CALLS}?{query}")
        assert response.status_code == 200, response.content
        return [row["id"] for row in response.json()]

    assert ids("") == [new.pk, old.pk]
    assert ids(f"network_id={network.pk}&limit=1") == [new.pk]
    assert ids("network_id=other") == []
    assert ids("state=active") == [new.pk]
    assert ids("direction=outbound") == [old.pk]
    assert ids("session_id=session_1") == [old.pk]
    assert ids(f"from={yesterday}") == [new.pk]
    assert ids(f"to={yesterday}") == [old.pk]
    assert pointers(owner.get(f"{CALLS}?state=asleep&from=soon")) == ["/query/from", "/query/state"]


def test_it_shows_what_was_said_how_fast_how_well_and_for_how_much(owner: Caller, network: Network) -> None:
    call = make_call(network)
    shown = owner.get(f"{CALLS}/{call.pk}").json()
    assert shown["latencies"]["first_frame"]["p50"] == 410.0
    assert (shown["mos"], shown["cost"], shown["seconds"]) == (4.2, 0.0125, 30.0)
    assert shown["use"][0]["connector"] == "local"
    assert shown["config"]["system_prompt"] == "Be kind."
    [turn] = shown["turns"]
    assert turn["heard_text"] == "It costs ninety dollars"
    assert turn["interrupted"] is True
    assert [(line["role"], line["text"]) for line in shown["transcript"]] == [
        ("caller", "What does the TechPro cost?"),
        ("agent", "It costs ninety dollars"),
    ]


@pytest.mark.parametrize(("direction", "masked"), [("inbound", "from"), ("outbound", "to")])
def test_it_masks_the_other_person_s_number_where_the_config_redacts(
    owner: Caller, network: Network, direction: str, masked: str
) -> None:
    call = make_call(network, direction=direction, config={"turn": {"redact": True}}, session_id="session_1")
    shown = owner.get(f"{CALLS}/{call.pk}").json()
    listed = owner.get(CALLS).json()[0]
    kept = {"from": "to", "to": "from"}[masked]
    for answer in (shown, listed):
        assert "…" in answer[masked]
        assert answer[masked] not in ("+15005550001", "+15005550006")
        assert "…" not in answer[kept]


# --- events ------------------------------------------------------------------------------------------


def test_it_pages_through_the_events(owner: Caller, network: Network) -> None:
    call = make_call(network)
    address = f"{CALLS}/{call.pk}/events"
    response = owner.get(f"{address}?limit=2")
    assert [(event["seq"], event["id"]) for event in response.json()] == [
        (1, f"{call.pk}:1"),
        (2, f"{call.pk}:2"),
    ]
    assert response.headers["X-Total-Count"] == "3"
    assert f"after={quote(call.pk + ':2')}" in response.headers["Link"]
    for after in ("2", f"{call.pk}:2"):
        assert [event["type"] for event in owner.get(f"{address}?after={after}").json()] == ["call.ended"]


@pytest.mark.parametrize("after", ["call_other:1", "x", "1:2:3", "99999999999"])
def test_it_refuses_a_mark_of_another_call(owner: Caller, network: Network, after: str) -> None:
    call = make_call(network)
    assert pointers(owner.get(f"{CALLS}/{call.pk}/events?after={after}")) == ["/query/after"]


def frames(text: str) -> list[dict[str, str]]:
    """What a browser would make of the stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
        if "data" in lines:
            found.append(lines)
    return found


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("resume", "seen"),
    [({}, [1, 2, 3]), ({"Last_Event_ID": "2"}, [3]), ({"Last_Event_ID": "{call}:1"}, [2, 3])],
    ids=["from the start", "after a number", "after an id"],
)
async def test_it_streams_the_events_of_a_call_that_has_ended(
    owner: Caller, network: Network, resume: dict[str, str], seen: list[int]
) -> None:
    call = await in_database(make_call)(network)
    headers = {name: value.replace("{call}", call.pk) for name, value in resume.items()}
    text = b"".join([part async for part in stream(owner, f"{CALLS}/{call.pk}/events", **headers)]).decode()
    assert text.startswith("retry:")
    told = frames(text)
    assert [frame["id"] for frame in told[:-1]] == [f"{call.pk}:{seq}" for seq in seen]
    assert told[-1]["event"] == "done"


@pytest.mark.django_db(transaction=True)
async def test_it_streams_what_is_written_while_somebody_watches(owner: Caller, network: Network) -> None:
    call = await in_database(make_call)(network, state="active", ended_at=None)

    def go_on() -> None:
        CallEvent.objects.create(call=call, seq=4, type="turn.completed", at=timezone.now())
        PhoneCall.objects.filter(pk=call.pk).update(state="ended")

    text = ""
    async for part in stream(owner, f"{CALLS}/{call.pk}/events?after=2"):
        text += part.decode()
        if text.endswith("\n\n") and "call.ended" in text and "turn.completed" not in text:
            await in_database(go_on)()
    assert [frame["event"] for frame in frames(text)] == ["call.ended", "turn.completed", "done"]
