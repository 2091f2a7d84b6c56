"""How staff decide an approval: the dialogs, and the one call that each ends in.

Staff decide as themselves, by their e-mail address, so the rules of the API hold: who is named may decide, and so may
a superuser. The first decision counts; whoever comes later is told who made it.
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tasks.approvals import LONGEST_COMMENT, Decision
from tasks.approving import services
from tasks.approving.forms import WholeJson
from tasks.approving.people import check_approvers
from tasks.models import Approval
from web.admin_site import (
    ConfirmForm,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    confirm,
    reload_page,
)
from web.jsonschemas import problems_of
from web.problems import Problem


class CommentForm(ConfirmForm):
    comment = forms.CharField(
        required=False,
        max_length=LONGEST_COMMENT,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept with the decision, and told to the run.",
    )


class EditForm(CommentForm):
    """Begins with what is shown; what does not fit the approval's schema is said here, so no edit is lost."""

    output = WholeJson(
        required=False,  # an empty object is a value too
        label="What is approved",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 12, "spellcheck": "false"}),
    )
    field_order = ("output", "comment")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._approval = Approval.objects.get(pk=self.object_id)
        self.fields["output"].initial = self._approval.data

    def clean_output(self) -> Any:
        output = self.cleaned_data["output"]
        if output is None:
            raise forms.ValidationError("An edit needs a value.")
        if self._approval.form_schema and (problems := problems_of(output, self._approval.form_schema)):
            raise forms.ValidationError("; ".join(problems)[:1000])
        return output


class ReassignForm(CommentForm):
    approvers = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        help_text="Addresses of members, or roles (owner, editor, approver, viewer), with commas between.",
    )
    field_order = ("approvers", "comment")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._approval = Approval.objects.get(pk=self.object_id)
        self.fields["comment"].help_text = "Kept with what is said about it."
        self.fields["approvers"].initial = ", ".join(self._approval.approvers)

    def clean_approvers(self) -> list[str]:
        named = [name.strip() for name in self.cleaned_data["approvers"].split(",") if name.strip()]
        try:
            return check_approvers(self._approval.project_id, named)
        except Problem as problem:
            raise forms.ValidationError(problem.detail) from None


APPROVE = confirm("Approve?", "The run goes on with what is shown.", "Approve", CommentForm)
EDIT = confirm(
    "Edit and approve", "The run goes on with this instead of what was shown.", "Approve", EditForm
)
REJECT = confirm(
    "Reject?",
    "The run takes the way for rejections; where the workflow has none, it fails.",
    "Reject",
    CommentForm,
)
REASSIGN = confirm(
    "Ask others?",
    "They are written to. Who was asked before may not decide any more.",
    "Reassign",
    ReassignForm,
)


def decide(page: Any, request: HttpRequest, form: Any, approval_id: str, decision: Decision) -> HttpResponse:
    """Decide as the person who is logged in."""
    user = _user(request)
    try:
        decided = services.decide_as_person(
            email=_name(user),
            approval=Approval.objects.get(pk=approval_id),
            decision=decision,
            output=form.cleaned_data.get("output") if decision == "edit" else None,
            comment=form.cleaned_data["comment"],
            superuser=user.is_superuser,
        )
    except Problem as problem:
        messages.error(request, str(problem))
    else:
        page.log_change(request, decided, f"Decided: {decision}.")
        messages.success(request, f"It is {decided.state}. The run goes on.")
    return _back(approval_id)


def reassign(page: Any, request: HttpRequest, form: Any, approval_id: str) -> HttpResponse:
    """Name others who may decide."""
    approval, user = Approval.objects.get(pk=approval_id), _user(request)
    try:
        services.reassign(
            approval=approval,
            approvers=form.cleaned_data["approvers"],
            by=user.email or user.get_username(),
            comment=form.cleaned_data["comment"],
        )
    except Problem as problem:
        messages.error(request, str(problem))
    else:
        page.log_change(request, approval, "Reassigned.")
        messages.success(request, f"Asked are now {', '.join(form.cleaned_data['approvers'])}.")
    return _back(approval_id)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _name(user: User) -> str:
    """An address, for members are known by theirs; a superuser, who need be none, has a name at least."""
    return user.email or (user.get_username() if user.is_superuser else "")


def _back(approval_id: str) -> HttpResponse:
    return reload_page(reverse("admin:tasks_approval_change", args=[approval_id]))
