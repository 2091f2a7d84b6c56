"""What people and keys do about approvals."""

from typing import Any

from django.db import transaction

from networks.models import ApiKey
from tasks import approvals
from tasks.approvals import Decision
from tasks.models import Approval, ApprovalComment
from web.problems import Invalid

from .people import check_approvers, check_person


def decide_as_key(
    *, key: ApiKey, approval: Approval, decision: Decision, output: Any = None, comment: str = ""
) -> Approval:
    """Decide in the name of a key's project; who stands behind the key is the project's business."""
    return _decide(approval, decision, output, comment, f"key {key.name}")


def decide_as_person(
    *,
    email: str,
    approval: Approval,
    decision: Decision,
    output: Any = None,
    comment: str = "",
    superuser: bool = False,
) -> Approval:
    """Decide as a person, who must be named; a superuser need not be."""
    if not superuser:
        check_person(approval, email)
    return _decide(approval, decision, output, comment, email)


def reassign(*, approval: Approval, approvers: list[str], by: str, comment: str = "") -> Approval:
    """Name others who may decide; they are written to. Raises `Invalid` for one who is no member."""
    checked = check_approvers(approval.project_id, approvers)
    with transaction.atomic():
        changed = approvals.reassign(approval_id=approval.pk, approvers=checked, by=by)
        if comment:
            add_comment(approval=approval, author=by, text=comment)
    return changed


def add_comment(*, approval: Approval, author: str, text: str) -> ApprovalComment:
    return ApprovalComment.objects.create(approval=approval, author=author[:200], text=text)


def _decide(approval: Approval, decision: Decision, output: Any, comment: str, by: str) -> Approval:
    if decision == "edit" and output is None:
        raise Invalid("/output", "An edit needs the output.", "required")
    if decision == "reject" and output is not None:
        raise Invalid("/output", "A rejection has no output.")
    return approvals.decide(
        approval_id=approval.pk,
        decision="edit" if output is not None else decision,
        output=output,
        comment=comment,
        decided_by=by[:200],
    )
