"""Runs, with everything that happened in one on tabs of its page."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from agents.admin import ModelCallAdmin
from agents.models import ModelCall
from tasks.models import Attempt, Event, Run, RunBody, Step
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
from .steps import AttemptAdmin, EventAdmin, StepAdmin, duration


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "status",
        "why",
        "task_",
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
        ("network__name", FieldTextFilter),
        ("project__name", FieldTextFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("task", "network")
    search_fields = (
        "id__exact",
        "task__id__exact",
        "network__id__exact",
        "request_id__exact",
        "task__request_id__exact",
    )
    search_help_text = "The id of a run, task, network or request, exactly."
    fields = (
        ("status", "why", "error_code"),
        "error_detail",
        ("task_", "network_", "project_"),
        ("planner", "priority", "request_id"),
        ("iterations", "max_iterations", "max_parallel_steps"),
        ("calls", "tokens", "money"),
        ("created_at", "started_at", "finished_at"),
        ("took", "deadline_at", "clock_stopped_at"),
        ("replayed_from_", "related"),
        "given",
        "returned",
    )
    change_form_datasets = (
        tab(StepAdmin, Step, "run_id", "link", "kind", "status", "why", "agent", "counts", "queued", "took", title="Steps"),
        tab(
            ModelCallAdmin, ModelCall, "run_id",
            "link", "status", "model", "step", "turn_and_try", "failure", "tokens", "money", "latency",
            title="Model calls",
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
    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")
    replayed_from_ = link_column("replayed_from_id", "tasks.run", "Replay of")

    @display(description="Run")
    def link(self, obj: Run) -> Any:
        return link("tasks.run", obj.pk)

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
            "{} · {} · {} · {} · {}",
            list_link("tasks.step", "steps", run__id__exact=obj.pk),
            list_link("agents.modelcall", "model calls", run_id__exact=obj.pk),
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
        made = operations.retry(self, request, [Run.objects.select_related("task").get(pk=object_id).task])
        return reload_page(reverse("admin:tasks_run_change", args=[made[0].pk if made else object_id]))

    @action(description="Requeue", icon="replay", permissions=["operate"], dialog=operations.REQUEUE)
    def requeue(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        operations.requeue(self, request, Run.objects.filter(pk=object_id))
        return reload_page(reverse("admin:tasks_run_change", args=[object_id]))

    @action(description="Cancel", permissions=["operate"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        operations.cancel(self, request, queryset[: operations.AT_ONCE])

    @action(description="Retry their tasks", permissions=["operate"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        runs = queryset.select_related("task")[: operations.AT_ONCE]
        operations.retry(self, request, {run.task_id: run.task for run in runs}.values())

    @action(description="Requeue: try waiting steps now", permissions=["operate"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        operations.requeue(self, request, queryset[: operations.AT_ONCE])


def _body(run: Run) -> RunBody:
    try:
        return run.body
    except RunBody.DoesNotExist:
        return RunBody(run=run)
