"""Approvals over HTTP: listed, decided once, edited, rejected, handed on, talked about."""

from typing import Any

import pytest

from tasks.models import Approval, ApprovalMail, Run, Step, StepBody

from .approval_world import approver, waiting_approval
from .conftest import Caller, make_caller

APPROVALS = "/api/approvals"


@pytest.fixture
def approval(owner: Caller) -> Approval:
    approver(owner.project)
    return waiting_approval(owner.project)


@pytest.fixture
def address(approval: Approval) -> str:
    return f"{APPROVALS}/{approval.pk}"


def complete(caller: Caller, approval: Approval, **body: Any) -> Any:
    return caller.post(f"/api/steps/{approval.step_id}/human-complete", body)


def output_of(approval: Approval) -> dict[str, Any]:
    output = StepBody.objects.get(pk=approval.step_id).output
    assert isinstance(output, dict)
    return output


def test_it_lists_what_waits(owner: Caller, approval: Approval) -> None:
    [listed] = owner.get(f"{APPROVALS}?status=pending").json()
    assert listed["id"] == approval.pk
    assert (listed["run_id"], listed["node_id"], listed["status"]) == (approval.run_id, "ask", "pending")
    assert listed["data"] == {"headline": "Rain again", "budget": 100}
    assert owner.get(f"{APPROVALS}?status=approved").json() == []
    assert len(owner.get(f"{APPROVALS}?run_id={approval.run_id}&approver=approver").json()) == 1
    [run] = owner.get("/api/runs?status=waiting_approval").json()
    assert (run["id"], run["wait_reason"]) == (approval.run_id, "approval")


def test_approving_is_the_default_and_goes_on_with_what_was_shown(owner: Caller, approval: Approval) -> None:
    decided = complete(owner, approval, comment="Fine.")
    assert decided.status_code == 200, decided.content
    assert (decided.json()["status"], decided.json()["decided_by"]) == ("approved", "key a key")
    assert decided.json()["comment"] == "Fine."
    step = Step.objects.get(pk=approval.step_id)
    assert step.state == "succeeded"
    output = output_of(approval)
    assert output["data"] == {"headline": "Rain again", "budget": 100}
    assert (output["decision"], output["comment"]) == ("approved", "Fine.")
    detail = owner.get(f"/api/runs/{approval.run_id}").json()
    assert (detail["status"], detail["output"]) == ("completed", output)
    steps = {step["key"]: step for step in detail["steps"]}
    assert {step["status"] for step in steps.values()} == {"completed"}
    assert steps["ask"]["approval_id"] == approval.pk


def test_an_edit_goes_on_with_its_output(owner: Caller, approval: Approval) -> None:
    decided = complete(owner, approval, decision="edit", output={"headline": "Sun at last"})
    assert (decided.json()["edited"], decided.json()["output"]) == (True, {"headline": "Sun at last"})
    assert output_of(approval)["data"] == {"headline": "Sun at last"}


def test_an_output_must_fit_the_form(owner: Caller) -> None:
    schema = {"type": "object", "properties": {"budget": {"type": "integer"}}, "required": ["budget"]}
    approval = waiting_approval(owner.project, form_schema=schema)
    refused = complete(owner, approval, decision="edit", output={"budget": "much"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/output"
    assert complete(owner, approval, decision="edit").json()["errors"][0]["pointer"] == "/output"
    assert complete(owner, approval, output={"budget": 5}).json()["edited"] is True


def test_a_rejection_without_a_way_fails_the_run(owner: Caller, approval: Approval, address: str) -> None:
    decided = owner.post(f"{address}/reject", {"comment": "Too dear."})
    assert decided.json()["status"] == "rejected"
    run = Run.objects.get(pk=approval.run_id)
    assert (run.state, run.error_code) == ("failed", "approval_rejected")


def test_a_rejection_takes_its_edge(owner: Caller) -> None:
    approval = waiting_approval(owner.project, rejected=True)
    assert complete(owner, approval, decision="reject").json()["status"] == "rejected"
    assert dict(Step.objects.filter(run=approval.run_id).values_list("key", "state")) == {
        "start": "succeeded",
        "ask": "succeeded",
        "no": "succeeded",
        "end": "skipped",
    }


def test_the_second_decision_is_told_who_decided(owner: Caller, approval: Approval, address: str) -> None:
    assert owner.post(f"{address}/approve").status_code == 200
    second = complete(owner, approval, decision="reject")
    assert (second.status_code, second.json()["code"]) == (409, "approval_decided")
    assert "key a key" in second.json()["detail"]
    assert Approval.objects.get().state == "approved"


def test_a_repeated_request_gets_the_first_answer(owner: Caller, address: str) -> None:
    first = owner.post(f"{address}/approve", Idempotency_Key="once")
    again = owner.post(f"{address}/approve", Idempotency_Key="once")
    assert (again.status_code, again.json()) == (200, first.json())


def test_it_is_handed_on_to_members_and_roles(owner: Caller, approval: Approval, address: str) -> None:
    approver(owner.project, "bob@example.com", "viewer")
    refused = owner.post(f"{address}/reassign", {"approvers": ["eve@example.com"]})
    assert refused.json()["errors"][0]["pointer"] == "/approvers/0"
    handed = owner.post(
        f"{address}/reassign", {"approvers": ["Bob@Example.com", "owner"], "comment": "Yours."}
    )
    assert handed.status_code == 200, handed.content
    assert handed.json()["approvers"] == ["bob@example.com", "owner"]
    assert handed.json()["comments"][0]["text"] == "Yours."
    assert set(ApprovalMail.objects.values_list("email", flat=True)) == {"ann@example.com", "bob@example.com"}
    owner.post(f"{address}/approve")
    assert owner.post(f"{address}/reassign", {"approvers": ["owner"]}).status_code == 409


def test_it_keeps_what_is_said(owner: Caller, address: str) -> None:
    assert owner.post(f"{address}/comment", {"text": "Who wrote this?"}).status_code == 201
    [comment] = owner.get(address).json()["comments"]
    assert (comment["author"], comment["text"]) == ("key a key", "Who wrote this?")


def test_a_cancelled_run_waits_for_nobody(owner: Caller, approval: Approval) -> None:
    assert owner.post(f"/api/runs/{approval.run_id}/cancel").status_code == 202
    late = complete(owner, approval)
    assert (late.status_code, late.json()["code"]) == (409, "approval_decided")
    assert Approval.objects.get().state == "cancelled"


def test_a_restricted_key_sees_none(owner: Caller, network: Any, address: str) -> None:
    restricted = make_caller(owner.project, "write", "read", network_ids=[network.pk])
    assert restricted.get(APPROVALS).json() == []
    assert restricted.post(f"{address}/approve").status_code == 404


@pytest.mark.parametrize("body", [{"decision": "maybe"}, {"verdict": "approve"}, {"comment": 5}])
def test_it_names_the_field_that_is_wrong(owner: Caller, approval: Approval, body: dict[str, Any]) -> None:
    refused = complete(owner, approval, **body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == f"/{next(iter(body))}"
    assert Approval.objects.get().state == "pending"
