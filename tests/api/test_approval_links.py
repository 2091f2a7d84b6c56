"""Letters and the links in them: one person, one decision, for a while, and nothing happens by looking."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail, signing
from django.test import Client
from django.utils import timezone

from networks.models import Member
from tasks.approving.links import link_for
from tasks.approving.mailing import send_due
from tasks.models import Approval, ApprovalMail

from .approval_world import approver, waiting_approval
from .conftest import Caller

FORM = {
    "type": "object",
    "properties": {
        "headline": {"type": "string"},
        "budget": {"type": "integer", "title": "Money"},
        "tone": {"enum": ["calm", "loud"]},
    },
}


@pytest.fixture
def approval(owner: Caller, settings: Any) -> Approval:
    settings.EMAIL_ON = True
    approver(owner.project)
    return waiting_approval(owner.project, form_schema=FORM)


def path_of(link: str) -> str:
    return "/approve/" + link.rpartition("/")[2]


@pytest.fixture
def path(approval: Approval) -> str:
    return path_of(link_for(approval, "ann@example.com"))


def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def decide(path: str, decision: str, client: Client | None = None, **fields: Any) -> Any:
    """Look at the page and send its form, as a browser does."""
    client = client or browser()
    page = client.get(path)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode())
    assert token is not None, page.content
    return client.post(path, {"decision": decision, "csrfmiddlewaretoken": token[1], **fields})


def test_it_writes_to_everybody_who_may_decide(owner: Caller, settings: Any) -> None:
    settings.EMAIL_ON = True
    approver(owner.project)
    approver(owner.project, "bob@example.com", "owner")
    approver(owner.project, "eve@example.com", "viewer")
    approval = waiting_approval(owner.project, approvers=("approver", "bob@example.com"))
    assert send_due() == 2
    assert {message.to[0] for message in mail.outbox} == {"ann@example.com", "bob@example.com"}
    letter = next(message for message in mail.outbox if message.to == ["ann@example.com"])
    assert letter.subject == "Your decision is asked for: Brief – Approve the brief"
    assert "Is this brief right?" in letter.body
    assert "Rain again" in letter.body
    link = re.search(r"http\S+/approve/\S+", str(letter.body))
    assert link is not None
    assert browser().get(path_of(link[0])).status_code == 200
    assert send_due() == 0, "once"
    assert Approval.objects.get(pk=approval.pk).state == "pending"


def test_it_tries_a_letter_again(approval: Approval, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens
    assert send_due() == 0
    letter = ApprovalMail.objects.get()
    assert (letter.state, letter.attempts) == ("pending", 1)
    assert letter.next_at is not None
    assert letter.next_at > timezone.now()
    assert letter.error
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    ApprovalMail.objects.update(next_at=timezone.now())
    assert send_due() == 1
    assert ApprovalMail.objects.get().state == "sent"


def test_it_writes_to_nobody_when_it_was_decided_or_nothing_is_set(
    owner: Caller, approval: Approval, settings: Any
) -> None:
    owner.post(f"/api/approvals/{approval.pk}/approve")
    settings.EMAIL_ON = False
    waiting_approval(owner.project)
    assert send_due() == 0
    assert set(ApprovalMail.objects.values_list("state", flat=True)) == {"needless"}
    assert mail.outbox == []


def test_the_page_shows_what_is_asked_and_looking_changes_nothing(path: str) -> None:
    page = browser().get(path)
    text = page.content.decode()
    assert page.status_code == 200
    for shown in ("Approve the brief", "Is this brief right?", "Rain again", "Money", "ann@example.com"):
        assert shown in text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "no-store" in page.headers["Cache-Control"]
    assert Approval.objects.get().state == "pending"


def test_a_person_approves(path: str) -> None:
    done = decide(path, "approve", comment="Good.")
    assert done.status_code == 200
    assert "by you" in done.content.decode()
    approval = Approval.objects.get()
    assert (approval.state, approval.decided_by, approval.comment, approval.edited) == (
        "approved",
        "ann@example.com",
        "Good.",
        False,
    )


def test_a_person_changes_and_approves(path: str) -> None:
    decide(path, "edit", field_headline="Sun", field_budget="50", field_tone="calm")
    approval = Approval.objects.get()
    assert approval.output == {"headline": "Sun", "budget": 50, "tone": "calm"}


def test_it_says_what_is_wrong_with_a_change(path: str) -> None:
    refused = decide(path, "edit", field_headline="Sun", field_budget="much")
    assert refused.status_code == 422
    assert "whole number" in refused.content.decode()
    assert Approval.objects.get().state == "pending"


def test_it_needs_the_pages_token(path: str) -> None:
    client = browser()
    client.get(path)
    assert client.post(path, {"decision": "approve"}).status_code == 403
    assert Approval.objects.get().state == "pending"


def test_the_second_is_told_who_decided(owner: Caller, approval: Approval, path: str) -> None:
    client = browser()
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', client.get(path).content.decode())
    assert token is not None
    owner.post(f"/api/approvals/{approval.pk}/approve")
    late = client.post(path, {"decision": "reject", "csrfmiddlewaretoken": token[1]})
    assert late.status_code == 409
    assert "by key a key" in late.content.decode()
    assert Approval.objects.get().state == "approved"


def test_one_who_is_not_asked_any_more_decides_nothing(owner: Caller, approval: Approval, path: str) -> None:
    approver(owner.project, "bob@example.com", "owner")
    client = browser()
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', client.get(path).content.decode())
    assert token is not None
    owner.post(f"/api/approvals/{approval.pk}/reassign", {"approvers": ["owner"]})
    refused = client.post(path, {"decision": "approve", "csrfmiddlewaretoken": token[1]})
    assert refused.status_code == 403
    Member.objects.filter(email="ann@example.com").delete()
    assert client.get(path).status_code == 403
    assert Approval.objects.get().state == "pending"


def test_a_link_ends_with_the_deadline_or_a_week(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    approver(owner.project)
    short = waiting_approval(owner.project, deadline_seconds=3600.0, on_deadline="reject")
    long = waiting_approval(owner.project)
    links = [path_of(link_for(approval, "ann@example.com")) for approval in (short, long)]
    now = timezone.now()

    def after(**time: float) -> list[int]:
        monkeypatch.setattr("tasks.approving.links.timezone.now", lambda: now + timedelta(**time))
        return [browser().get(link).status_code for link in links]

    assert after(minutes=59) == [200, 200]
    assert after(minutes=61) == [404, 200]
    assert after(days=8) == [404, 404]


@pytest.mark.parametrize(
    "token",
    ["x", "a:b:c", signing.dumps(["approval_x", "a@b.c", 99999999999], salt="other")],
    ids=["no signature", "three parts", "signed for something else"],
)
def test_a_link_that_is_none_of_ours_does_not_work(db: None, token: str) -> None:
    page = browser().get(f"/approve/{token}")
    assert page.status_code == 404
    assert "does not work" in page.content.decode()


def test_what_is_shown_is_text(owner: Caller) -> None:
    approver(owner.project)
    hostile = waiting_approval(owner.project, instructions="<script>a()</script>", data="<b>x</b>")
    text = browser().get(path_of(link_for(hostile, "ann@example.com"))).content.decode()
    assert "<script>" not in text
    assert "<b>x</b>" not in text
