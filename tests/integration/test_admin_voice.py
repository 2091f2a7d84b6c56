"""Staff and voice: numbers are checked before they are saved, sessions and calls are ended, calls are read."""

from typing import Any

import pytest
from django.test import Client

from agents.models import ModelCall
from networks.models import Network, Project
from tasks.models import Run
from tests.integration.admin_world import log_in, make_world, messages_of, page
from voice.models import CallEvent, PhoneCall, PhoneNumber, Turn, VoiceSession

CONFIRMED = {"_form_submitted": "True"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    make_world(runs=1)
    return log_in()


def form(**changes: Any) -> dict[str, Any]:
    network = Network.objects.get(name="Campaigns")
    return {
        "project": network.project_id,
        "network": network.pk,
        "number": "+15005550006",
        "label": "Support",
        "config": '{"turn": {"greeting": "Hello."}}',
        "active": "on",
        "sip_uri": "",
    } | changes


def test_it_saves_a_number_with_its_config(staff: Client) -> None:
    response = staff.post(page(PhoneNumber, "add"), form())
    assert response.status_code == 302, response.context["adminform"].form.errors
    number = PhoneNumber.objects.get(number="+15005550006")
    assert number.config == {"turn": {"greeting": "Hello."}}


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"number": "5550006"}, "number", "E.164"),
        ({"config": '{"turn": {"silence_ms": 1}}'}, "config", "/turn/silence_ms"),
        ({"config": '{"connectors": {"stt": {"primary": "x"}}, "y": 1}'}, "config", "/connectors/stt/primary"),
        ({"config": '{"network_id": "network_x"}'}, "config", "/network_id"),
        ({"config": "{"}, "config", "JSON"),
        ({"network": "", "config": '{"connectors": {"llm": {"primary": "network"}}}'}, "network", "choose one"),
    ],
    ids=str,
)  # fmt: skip
def test_it_names_what_is_wrong_with_a_number(
    staff: Client, change: dict[str, Any], field: str, said: str
) -> None:
    response = staff.post(page(PhoneNumber, "add"), form(**change))
    assert response.status_code == 200
    assert said in str(response.context["adminform"].form.errors[field])
    assert not PhoneNumber.objects.filter(label="Support").exists()


def test_it_lets_no_other_project_s_network_answer(staff: Client) -> None:
    other = Project.objects.create(name="Elsewhere")
    response = staff.post(page(PhoneNumber, "add"), form(project=other.pk))
    assert "another project" in str(response.context["adminform"].form.errors["network"])


def test_it_shows_a_call_on_one_page(staff: Client) -> None:
    call = PhoneCall.objects.get()
    ModelCall.objects.update(call_id=call.pk)
    html = staff.get(page(PhoneCall, "change", call.pk)).content.decode()
    assert "<script>alert(2)" not in html
    assert "&lt;script&gt;alert(2)" in html
    assert "Hello (interrupted)" in html
    assert "call.started" in html
    model_call = ModelCall.objects.first()
    assert model_call is not None
    assert page(ModelCall, "change", model_call.pk) in html
    assert page(Run, "change", call.run_id) in html
    for target, lookup in (
        (Turn, "call__id__exact"),
        (CallEvent, "call__id__exact"),
        (ModelCall, "call_id__exact"),
    ):
        assert staff.get(page(target), {lookup: call.pk}).context["cl"].result_count > 0


def test_it_ends_a_session_and_a_call(staff: Client) -> None:
    session, call = VoiceSession.objects.get(), PhoneCall.objects.get()
    ended = staff.post(page(VoiceSession, "end", session.pk), CONFIRMED)
    assert ended.headers["HX-Redirect"] == page(VoiceSession, "change", session.pk)
    assert "has ended" in messages_of(ended)
    session.refresh_from_db()
    assert session.ended_at is not None
    staff.post(page(PhoneCall, "end", call.pk), CONFIRMED)
    call.refresh_from_db()
    assert call.end_reason == "cancelled"
