"""Approvals: what people owe to runs, decided in place, and the letters that ask for it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join

from tasks.approving.letters import title_of
from tasks.models import Approval, ApprovalMail
from web.admin_site import (
    ActionVariant,
    ChoicesDropdownFilter,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    action,
    ago,
    display,
    link,
    link_column,
    pretty,
    state_column,
    tab,
)

from . import deciding


@admin.register(ApprovalMail)
class ApprovalMailAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "email",
        "status",
        "approval_",
        "attempts",
        "error",
        "next_at",
        "created_at",
        "sent_at",
    )
    list_filter = (("state", ChoicesDropdownFilter), ("created_at", RangeDateTimeFilter))
    search_fields = ("id__exact", "approval__id__exact", "email__exact")
    search_help_text = "The id of a letter or approval, or an address, exactly."
    fields = (("email", "status", "approval_"), ("attempts", "error"), ("created_at", "next_at", "sent_at"))

    approval_ = link_column("approval_id", "tasks.approval", "Approval")
    status = state_column()


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    list_display = (
        "title",
        "status",
        "asked",
        "deadline",
        "decided_by",
        "run_",
        "project_",
        "created_at",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("on_deadline", ChoicesDropdownFilter),
        ("decided_by", FieldTextFilter),
        ("project__name", FieldTextFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("run__workflow", "run__task", "step", "project")
    search_fields = ("id__exact", "run__id__exact", "step__id__exact", "project__id__exact")
    search_help_text = "The id of an approval, run, step or project, exactly."
    fields = (
        ("title", "status"),
        "instructions",
        "shown",
        ("asked", "deadline", "then"),
        ("decided_by", "decided_at", "edited"),
        "comment",
        "approved",
        "said",
        ("run_", "step_", "project_"),
        ("created_at", "escalated_at"),
        "form_schema_",
    )
    change_form_datasets = (
        tab(
            ApprovalMailAdmin, ApprovalMail, "approval_id",
            "email", "status", "attempts", "error", "next_at", "sent_at",
            title="Letters",
        ),
    )  # fmt: skip
    actions_detail = ("approve", "edit", "reject", "reassign")

    status = state_column()
    run_ = link_column("run_id", "tasks.run", "Run")
    step_ = link_column("step_id", "tasks.step", "Step", "step")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        rows: QuerySet[Approval] = super().get_queryset(request)
        return rows.select_related(*self.list_select_related)

    @display(description="Decision")
    def title(self, obj: Approval) -> str:
        return title_of(obj)

    @display(description="Decision")
    def link(self, obj: Approval) -> Any:
        return link("tasks.approval", obj.pk, obj.step)

    @display(description="Asked")
    def asked(self, obj: Approval) -> str:
        return ", ".join(obj.approvers) or "–"

    @display(description="Deadline")
    def deadline(self, obj: Approval) -> str:
        return ago(obj.deadline_at)

    @display(description="Then")
    def then(self, obj: Approval) -> str:
        to = f" to {', '.join(obj.escalate_to)}" if obj.escalate_to else ""
        return f"{obj.on_deadline}{to}" if obj.on_deadline else "–"

    @display(description="Shown")
    def shown(self, obj: Approval) -> Any:
        return pretty(obj.data)

    @display(description="Approved in its place")
    def approved(self, obj: Approval) -> Any:
        return pretty(obj.output) if obj.edited else "–"

    @display(description="Said about it")
    def said(self, obj: Approval) -> Any:
        lines = ((comment.author, comment.text) for comment in obj.comments.all()[:50])
        return format_html_join("", "<p><b>{}:</b> {}</p>", lines) or "–"

    @display(description="Form schema")
    def form_schema_(self, obj: Approval) -> Any:
        return pretty(obj.form_schema or None)

    def needless(self, obj: Approval) -> tuple[str, ...]:
        return () if obj.state == Approval.State.PENDING else self.actions_detail

    @action(
        description="Approve",
        icon="check",
        variant=ActionVariant.PRIMARY,
        permissions=["operate"],
        dialog=deciding.APPROVE,
    )
    def approve(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return deciding.decide(self, request, form, object_id, "approve")

    @action(description="Edit and approve", icon="edit", permissions=["operate"], dialog=deciding.EDIT)
    def edit(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return deciding.decide(self, request, form, object_id, "edit")

    @action(
        description="Reject",
        icon="close",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=deciding.REJECT,
    )
    def reject(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return deciding.decide(self, request, form, object_id, "reject")

    @action(
        description="Reassign", icon="forward_to_inbox", permissions=["operate"], dialog=deciding.REASSIGN
    )
    def reassign(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return deciding.reassign(self, request, form, object_id)
