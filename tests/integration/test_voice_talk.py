"""The page to talk on: who gets a session by it, and what it lets a browser load."""

import json
import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.test import Client

from networks.models import Network
from tests.integration import lines_world as lines
from voice import addresses, tokens
from voice.models import VoiceSession

pytestmark = pytest.mark.django_db


@pytest.fixture
def network() -> Network:
    found = lines.make_number().network
    assert found is not None
    return found


@pytest.fixture
def staff() -> Client:
    user = get_user_model().objects.create_user("staff", password="x", is_staff=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def ask(client: Client, body: Any, token: str = "") -> Any:
    headers = {"X-CSRFToken": token} if token else {}
    return client.post("/talk/session", json.dumps(body), content_type="application/json", headers=headers)


def csrf(page: Any) -> str:
    found = re.search(r'data-staff="(\w+)"', page.content.decode())
    assert found
    return found[1]


def test_it_is_a_page_that_loads_nothing_but_our_own_files(network: Network) -> None:
    answer = Client().get("/talk")
    page = answer.content.decode()
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)
    for path in re.findall(r'"/static/([^"]+)"', page):
        assert finders.find(path), path
    assert network.pk not in page


def test_it_shows_staff_the_active_networks(network: Network, staff: Client) -> None:
    paused = Network.objects.create(project=network.project, name="Paused", status="paused")
    page = staff.get("/talk").content.decode()
    assert network.pk in page
    assert paused.pk not in page


def test_it_opens_a_session_for_staff(network: Network, staff: Client) -> None:
    token = csrf(staff.get("/talk"))
    body = {"network_id": network.pk, "config": {"turn": {"greeting": "Hi."}}}
    answer = ask(staff, body, token)
    assert answer.status_code == 201, answer.content
    session = VoiceSession.objects.get()
    assert session.project == network.project
    assert session.config["turn"]["greeting"] == "Hi."
    url = answer.json()["transport"]["ws_url"]
    ticket = tokens.read(addresses.token_key(), "browser", url.rsplit("/", 1)[1], now=0)
    assert ticket.subject == session.pk


def test_it_opens_none_without_the_pages_own_token(network: Network, staff: Client) -> None:
    assert ask(staff, {"network_id": network.pk}).status_code == 403
    assert not VoiceSession.objects.exists()


def test_it_opens_none_for_others(network: Network) -> None:
    client = Client()
    assert ask(client, {"network_id": network.pk}).status_code == 403
    client.force_login(get_user_model().objects.create_user("clerk", password="x"))
    assert ask(client, {"network_id": network.pk}).status_code == 403
    assert not VoiceSession.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"network_id": "network_x"},
        {"network_id": None},
        {"network_id": "{id}", "config": {"turn": 1}},
    ],
)
def test_it_says_what_is_wrong_with_a_session(network: Network, staff: Client, body: Any) -> None:
    token = csrf(staff.get("/talk"))
    if isinstance(body, dict) and body.get("network_id") == "{id}":
        body = {**body, "network_id": network.pk}
    answer = ask(staff, body, token)
    assert answer.status_code == 422
    assert answer.json()["detail"]
