"""Approvals: decisions that people owe to steps, read and taken."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from networks.models import ApiKey
from tasks.approvals import Decision
from tasks.approving import selectors, services
from tasks.models import Approval
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import page_query, paginate
from web.serializers import Body, Choice, Text
from web.views import MeshView, created, read_body

STATES = Approval.State.choices


class DecideBody(Body):
    accept_camel_case = True

    comment = Text(required=False, allow_blank=True, max_length=2000)


class ApproveBody(DecideBody):
    output = serializers.JSONField(
        required=False, help_text="Instead of what was shown; `form_schema` says what it must be."
    )


class HumanCompleteBody(ApproveBody):
    decision = Choice(choices=["approve", "reject", "edit"], required=False, help_text="Default approve.")


class ReassignBody(Body):
    accept_camel_case = True

    approvers = serializers.ListField(
        child=Text(min_length=1, max_length=200),
        min_length=1,
        max_length=50,
        help_text="E-mail addresses of members, or roles.",
    )
    comment = Text(required=False, allow_blank=True, max_length=2000)


class CommentBody(Body):
    text = Text(min_length=1, max_length=2000)


class CommentAnswer(serializers.Serializer[Any]):
    author = serializers.CharField()
    text = serializers.CharField()
    at = serializers.DateTimeField()


class ApprovalAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    project_id = serializers.CharField()
    run_id = serializers.CharField()
    step_id = serializers.CharField()
    workflow_id = serializers.CharField(allow_null=True)
    node_id = serializers.CharField()
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    status = serializers.ChoiceField(choices=STATES)
    instructions = serializers.CharField(allow_blank=True)
    data = serializers.JSONField(allow_null=True, help_text="What is shown, and edited.")  # type: ignore[assignment]
    form_schema = serializers.DictField()
    approvers = serializers.ListField(child=serializers.CharField())
    deadline = serializers.DateTimeField(allow_null=True)
    on_deadline = serializers.CharField(allow_null=True, help_text="approve, reject or escalate.")
    escalate_to = serializers.ListField(child=serializers.CharField())
    escalated_at = serializers.DateTimeField(allow_null=True)
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    edited = serializers.BooleanField()
    output = serializers.JSONField(allow_null=True, help_text="What was approved in place of the data.")
    comment = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class ApprovalDetailAnswer(ApprovalAnswer):
    comments = CommentAnswer(many=True)


class ApprovalQuery(page_query(default=50)):  # type: ignore[misc]
    status = serializers.ChoiceField(choices=STATES, required=False)
    run_id = serializers.CharField(required=False, max_length=40)
    workflow_id = serializers.CharField(required=False, max_length=40)
    approver = serializers.CharField(required=False, max_length=200, help_text="An address or a role.")


class ApprovalsView(MeshView):
    tags = ["Approvals"]

    @document(answer=ApprovalAnswer(many=True), query=ApprovalQuery, summary="List approvals, newest first")
    def get(self, request: Request) -> Response:
        params = ApprovalQuery.read(request._request.GET)
        found = selectors.approvals_for(caller(request))
        if "status" in params:
            found = found.filter(state=params["status"])
        if "run_id" in params:
            found = found.filter(run_id=params["run_id"])
        if "workflow_id" in params:
            found = found.filter(run__workflow_id=params["workflow_id"])
        if "approver" in params:
            found = found.filter(approvers__contains=[params["approver"]])
        return paginate(
            found,
            request=request._request,
            params=params,
            shape=lambda approvals: [shape_approval(approval) for approval in approvals],
        )


class ApprovalView(MeshView):
    tags = ["Approvals"]

    @document(answer=ApprovalDetailAnswer, summary="Get an approval with what was said about it")
    def get(self, request: Request, approval_id: str) -> Response:
        return Response(shape_detail(selectors.access_approval_for(caller(request), approval_id)))


class HumanCompleteView(MeshView):
    tags = ["Approvals"]

    @document(
        answer=ApprovalDetailAnswer,
        body=HumanCompleteBody,
        conflict=True,
        summary="Decide what a step waits for: the first decision counts",
    )
    @idempotent
    def post(self, request: Request, step_id: str) -> Response:
        key = caller(request)
        approval = selectors.access_approval_of_step_for(key, step_id)
        values = read_body(HumanCompleteBody, request)
        return _decided(key, approval, values.get("decision", "approve"), values)


class ApproveView(MeshView):
    tags = ["Approvals"]

    @document(
        answer=ApprovalDetailAnswer, body=ApproveBody, conflict=True, summary="Approve, or edit and approve"
    )
    @idempotent
    def post(self, request: Request, approval_id: str) -> Response:
        approval = selectors.access_approval_for(caller(request), approval_id)
        return _decided(caller(request), approval, "approve", read_body(ApproveBody, request))


class RejectView(MeshView):
    tags = ["Approvals"]

    @document(answer=ApprovalDetailAnswer, body=DecideBody, conflict=True, summary="Reject")
    @idempotent
    def post(self, request: Request, approval_id: str) -> Response:
        approval = selectors.access_approval_for(caller(request), approval_id)
        return _decided(caller(request), approval, "reject", read_body(DecideBody, request))


class ReassignView(MeshView):
    tags = ["Approvals"]

    @document(
        answer=ApprovalDetailAnswer, body=ReassignBody, conflict=True, summary="Name others who may decide"
    )
    @idempotent
    def post(self, request: Request, approval_id: str) -> Response:
        key = caller(request)
        approval = selectors.access_approval_for(key, approval_id)
        services.reassign(approval=approval, by=f"key {key.name}", **read_body(ReassignBody, request))
        return Response(shape_detail(selectors.access_approval_for(key, approval_id)))


class CommentView(MeshView):
    tags = ["Approvals"]

    @document(answer=CommentAnswer, status=201, body=CommentBody, summary="Say something about an approval")
    @idempotent
    def post(self, request: Request, approval_id: str) -> Response:
        key = caller(request)
        approval = selectors.access_approval_for(key, approval_id)
        text = read_body(CommentBody, request)["text"]
        comment = services.add_comment(approval=approval, author=f"key {key.name}", text=text)
        return created(
            {"author": comment.author, "text": comment.text, "at": comment.at},
            f"/api/approvals/{approval.pk}",
        )


def shape_approval(approval: Approval) -> dict[str, Any]:
    """What the API shows of an approval in a list."""
    return {
        "id": approval.pk,
        "project_id": approval.project_id,
        "run_id": approval.run_id,
        "step_id": approval.step_id,
        "workflow_id": approval.run.workflow_id,
        "node_id": approval.step.key.partition(".")[0],
        "label": approval.step.label,
        "status": approval.state,
        "instructions": approval.instructions,
        "data": approval.data,
        "form_schema": approval.form_schema,
        "approvers": approval.approvers,
        "deadline": approval.deadline_at,
        "on_deadline": approval.on_deadline or None,
        "escalate_to": approval.escalate_to,
        "escalated_at": approval.escalated_at,
        "decided_by": approval.decided_by or None,
        "decided_at": approval.decided_at,
        "edited": approval.edited,
        "output": approval.output,
        "comment": approval.comment,
        "created_at": approval.created_at,
    }


def shape_detail(approval: Approval) -> dict[str, Any]:
    """An approval with its comments."""
    comments = [{"author": c.author, "text": c.text, "at": c.at} for c in approval.comments.all()]
    return shape_approval(approval) | {"comments": comments}


def _decided(key: ApiKey, approval: Approval, decision: Decision, values: dict[str, Any]) -> Response:
    services.decide_as_key(
        key=key,
        approval=approval,
        decision=decision,
        output=values.get("output"),
        comment=values.get("comment", ""),
    )
    return Response(shape_detail(selectors.access_approval_for(key, approval.pk)))
