"""Runs, with everything that happened in one on tabs of its page."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from agents.admin import ModelCallAdmin, ToolCallAdmin
from agents.models import ModelCall, ToolCall
from tasks.lifecycle import TERMINAL
from tasks.models import Approval, Attempt, Event, Run, RunBody, Step
from web.admin_site import (
    ActionVariant,
    ChoicesDropdownFilter,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    action,
    display,
    link,
    link_column,
    list_link,
    pretty,
    reload_page,
    state_column,
    tab,
)

from . import operations
from .approvals import ApprovalAdmin
from .steps import AttemptAdmin, EventAdmin, StepAdmin, duration


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "status",
        "why",
        "about",
        "network_",
        "took",
        "calls",
        "tokens",
        "money",
        "created_at",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("wait_reason", ChoicesDropdownFilter),
        ("error_code", FieldTextFilter),
        ("source", FieldTextFilter),
        ("workflow__name", FieldTextFilter),
        ("network__name", FieldTextFilter),
        ("project__name", FieldTextFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("task", "workflow", "network")
    search_fields = (
        "id__exact",
        "task__id__exact",
        "workflow__id__exact",
        "network__id__exact",
        "request_id__exact",
        "task__request_id__exact",
    )
    search_help_text = "The id of a run, task, workflow, network or request, exactly."
    fields = (
        ("status", "why", "error_code"),
        "error_detail",
        ("task_", "workflow_", "started_by"),
        ("network_", "project_", "parent"),
        ("planner", "priority", "request_id"),
        ("iterations", "max_iterations", "max_parallel_steps"),
        ("calls", "tokens", "money"),
        ("created_at", "started_at", "finished_at"),
        ("took", "deadline_at", "clock_stopped_at"),
        ("replayed_from_", "replays_", "related"),
        "given",
        "returned",
    )
    change_form_datasets = (
        tab(
            StepAdmin, Step, "run_id",
            "link", "key", "kind", "status", "why", "agent", "counts", "queued", "took",
            title="Steps",
        ),
        tab(
            ApprovalAdmin, Approval, "run_id",
            "link", "status", "asked", "deadline", "decided_by", "decided_at", "comment",
            title="Approvals",
        ),
        tab(
            ModelCallAdmin, ModelCall, "run_id",
            "link", "status", "model", "step", "turn_and_try", "failure", "tokens", "money", "latency",
            title="Model calls",
        ),
        tab(
            ToolCallAdmin, ToolCall, "run_id",
            "link", "status", "tool", "step", "place", "error_code", "took", "started_at",
            title="Tool calls",
        ),
        tab(EventAdmin, Event, "run_id", "seq", "type", "step", "at", "summary", title="Events"),
        tab(
            AttemptAdmin, Attempt, "step__run_id",
            "step_", "fence", "status", "worker", "took", "detail",
            title="Attempts",
        ),
    )  # fmt: skip
    actions = ("cancel_selected", "retry_selected", "requeue_selected")
    actions_detail = ("cancel", "retry", "requeue")

    status = state_column()
    task_ = link_column("task_id", "tasks.task", "Task", "task")
    parent = link_column("parent_step_id", "tasks.step", "For the step")
    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")
    replayed_from_ = link_column("replayed_from_id", "tasks.run", "Replay of")

    @display(description="Run")
    def link(self, obj: Run) -> Any:
        return link("tasks.run", obj.pk)

    @display(description="Of")
    def about(self, obj: Run) -> Any:
        return self.workflow_(obj) if obj.workflow_id else link("tasks.task", obj.task_id, obj.task)

    @display(description="Workflow")
    def workflow_(self, obj: Run) -> Any:
        name = f"{obj.workflow} v{obj.workflow_version}" if obj.workflow else ""
        return link("workflows.workflow", obj.workflow_id, name)

    @display(description="Replayed by")
    def replays_(self, obj: Run) -> Any:
        ids = obj.replays.order_by("-id").values_list("pk", flat=True)[:20]
        return format_html_join(", ", "{}", ((link("tasks.run", one),) for one in ids)) or "–"

    @display(description="Started by")
    def started_by(self, obj: Run) -> str:
        return obj.source or "api"

    @display(description="Waits for")
    def why(self, obj: Run) -> str:
        return obj.wait_reason or "–"

    @display(description="Took")
    def took(self, obj: Run) -> str:
        return duration(obj.started_at, obj.finished_at)

    @display(description="Model calls")
    def calls(self, obj: Run) -> Any:
        return list_link("agents.modelcall", obj.model_calls, run_id__exact=obj.pk)

    @display(description="Tokens in / out")
    def tokens(self, obj: Run) -> str:
        return f"{obj.input_tokens:,} / {obj.output_tokens:,}"

    @display(description="Cost")
    def money(self, obj: Run) -> str:
        return f"${obj.cost:.4f}"

    @display(description="See all")
    def related(self, obj: Run) -> Any:
        return format_html(
            "{} · {} · {} · {} · {} · {} · {}",
            list_link("tasks.step", "steps", run__id__exact=obj.pk),
            list_link("agents.modelcall", "model calls", run_id__exact=obj.pk),
            list_link("agents.toolcall", "tool calls", run_id__exact=obj.pk),
            list_link("tasks.approval", "approvals", run__id__exact=obj.pk),
            list_link("tasks.event", "events", run__id__exact=obj.pk),
            list_link("tasks.attempt", "attempts", step__run__id__exact=obj.pk),
            list_link("memory.memoryitem", "memory written", source_run_id__exact=obj.pk),
        )

    @display(description="Input")
    def given(self, obj: Run) -> Any:
        return pretty(_body(obj).input)

    @display(description="Output")
    def returned(self, obj: Run) -> Any:
        return pretty(_body(obj).output)

    def needless(self, obj: Run) -> tuple[str, ...]:
        return ("cancel", "requeue") if obj.state in TERMINAL else ("retry",)

    @action(
        description="Cancel",
        icon="cancel",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=operations.CANCEL,
    )
    def cancel(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        operations.cancel(self, request, Run.objects.filter(pk=object_id))
        return reload_page(reverse("admin:tasks_run_change", args=[object_id]))

    @action(description="Retry", icon="refresh", permissions=["operate"], dialog=operations.RETRY)
    def retry(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        made = operations.retry_runs(self, request, Run.objects.filter(pk=object_id))
        return reload_page(reverse("admin:tasks_run_change", args=[made[0].pk if made else object_id]))

    @action(description="Requeue", icon="replay", permissions=["operate"], dialog=operations.REQUEUE)
    def requeue(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        operations.requeue(self, request, Run.objects.filter(pk=object_id))
        return reload_page(reverse("admin:tasks_run_change", args=[object_id]))

    @action(description="Cancel", permissions=["operate"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        operations.cancel(self, request, queryset[: operations.AT_ONCE])

    @action(description="Retry", permissions=["operate"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        operations.retry_runs(self, request, queryset[: operations.AT_ONCE])

    @action(description="Requeue: try waiting steps now", permissions=["operate"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        operations.requeue(self, request, queryset[: operations.AT_ONCE])


def _body(run: Run) -> RunBody:
    try:
        return run.body
    except RunBody.DoesNotExist:
        return RunBody(run=run)
