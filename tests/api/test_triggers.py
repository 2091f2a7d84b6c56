"""Triggers: an address for something outside, which signs what it sends and starts a workflow once for each message."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from standardwebhooks import Webhook

from tasks.models import Run, RunBody
from web.models import IdempotencyRecord
from workflows.models import Trigger, Workflow
from workflows.services import archive, create_workflow

from .conftest import Caller
from .endpoints import A_GRAPH


@dataclass
class Sender:
    """Something outside that knows an address and its secret."""

    url: str
    secret: str

    def send(
        self,
        body: Any,
        *,
        at: datetime | None = None,
        message_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        raw = body if isinstance(body, str) else json.dumps(body)
        at = at or datetime.now(UTC)
        message_id = message_id or f"msg_{uuid.uuid4()}"
        signed = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(message_id, at, raw),
        } | dict(headers or {})
        client = Client(raise_request_exception=False)
        path = self.url.removeprefix("http://localhost:8080")
        return client.generic("POST", path, raw, content_type="application/json", headers=signed)


@pytest.fixture
def workflow(owner: Caller) -> Workflow:
    return create_workflow(project=owner.project, name="Order", graph=A_GRAPH)


@pytest.fixture
def address(workflow: Workflow) -> str:
    return f"/api/workflows/{workflow.pk}/triggers"


@pytest.fixture
def sender(owner: Caller, address: str, settings: Any) -> Sender:
    settings.PUBLIC_BASE_URL = "http://localhost:8080"
    made = owner.post(address, {"name": "Shop"})
    assert made.status_code == 201, made.content
    return Sender(made.json()["url"], made.json()["secret"])


def test_it_shows_its_address_and_secret_once(owner: Caller, address: str, sender: Sender) -> None:
    assert sender.url.startswith("http://localhost:8080/api/hooks/hook_")
    assert sender.secret.startswith("whsec_")
    [listed] = owner.get(address).json()
    assert "secret" not in listed
    assert "url" not in listed
    trigger = Trigger.objects.get()
    token = sender.url.rpartition("/")[2]
    assert token not in str(vars(trigger)), "the token is kept as its digest"
    assert sender.secret.encode() not in bytes(trigger.encrypted_secret)


def test_it_starts_the_workflow_with_the_body_and_telling_headers(workflow: Workflow, sender: Sender) -> None:
    headers = {"X-Shop-Event": "paid", "Authorization": "Bearer x", "Cookie": "a=b"}
    answer = sender.send({"type": "order.paid", "total": 5}, headers=headers)
    assert answer.status_code == 202, answer.content
    run = Run.objects.get(pk=answer.json()["run_id"])
    assert answer.headers["Location"] == f"/api/runs/{run.pk}"
    assert (run.workflow_id, run.source) == (workflow.pk, "trigger")
    given = RunBody.objects.get(run=run).input
    assert given["body"] == {"type": "order.paid", "total": 5}
    assert given["headers"]["x-shop-event"] == "paid"
    assert not {"authorization", "cookie", "webhook-signature"} & set(given["headers"])


def test_a_repeated_message_starts_nothing_more(sender: Sender) -> None:
    first = sender.send({"n": 1}, message_id="msg_1")
    again = sender.send({"n": 1}, message_id="msg_1", at=datetime.now(UTC) + timedelta(seconds=20))
    assert again.status_code == 202
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Run.objects.count() == 1
    assert sender.send({"n": 2}, message_id="msg_1").status_code == 422
    token = sender.url.rpartition("/")[2]
    assert not IdempotencyRecord.objects.filter(path__contains=token).exists()


def test_it_listens_to_the_types_it_is_told(owner: Caller, address: str, sender: Sender) -> None:
    one = f"{address}/{Trigger.objects.get().pk}"
    assert owner.patch(one, {"event_types": ["order.paid"]}).status_code == 200
    ignored = sender.send({"type": "order.viewed"})
    assert (ignored.status_code, ignored.json()) == (202, {"run_id": None})
    assert sender.send({"type": "order.paid"}).json()["run_id"]


@pytest.mark.parametrize("minutes", [-6, 6])
def test_it_refuses_what_was_signed_long_ago_or_in_the_future(sender: Sender, minutes: int) -> None:
    refused = sender.send({}, at=datetime.now(UTC) + timedelta(minutes=minutes))
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_signature")


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,%%%"},
        {"webhook-signature": ""},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e400"},
        {"webhook-id": "another"},
    ],
)
def test_it_refuses_what_its_secret_did_not_sign(sender: Sender, headers: dict[str, str]) -> None:
    refused = sender.send({"a": 1}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_signature")
    assert refused.headers["WWW-Authenticate"] == "StandardWebhooks"
    assert Run.objects.count() == 0


def test_it_refuses_a_body_that_is_too_large_or_no_json(sender: Sender) -> None:
    assert sender.send("{").json()["code"] == "malformed_json"
    assert sender.send(json.dumps({"a": "x" * 1024 * 1024})).status_code == 413


def test_an_unknown_address_and_one_switched_off_are_not_there(
    owner: Caller, address: str, sender: Sender, workflow: Workflow
) -> None:
    assert Sender(sender.url + "x", sender.secret).send({}).status_code == 404
    one = f"{address}/{Trigger.objects.get().pk}"
    assert owner.patch(one, {"active": False}).json()["active"] is False
    assert sender.send({}).status_code == 404
    owner.patch(one, {"active": True})
    archive(workflow=workflow)
    assert sender.send({}).status_code == 404


def test_rotated_it_has_another_address_and_secret(owner: Caller, address: str, sender: Sender) -> None:
    one = f"{address}/{Trigger.objects.get().pk}"
    rotated = owner.post(f"{one}/rotate").json()
    assert sender.send({}).status_code == 404
    assert Sender(rotated["url"], sender.secret).send({}).status_code == 401
    assert Sender(rotated["url"], rotated["secret"]).send({}).status_code == 202
    assert owner.delete(one).status_code == 204
    assert Sender(rotated["url"], rotated["secret"]).send({}).status_code == 404


def test_it_has_a_limit_of_its_own(sender: Sender, settings: Any) -> None:
    settings.MESH_RATE_LIMIT_PER_MINUTE = 2
    statuses = [sender.send({}).status_code for _ in range(3)]
    assert statuses == [202, 202, 429]
