"""Tasks: what clients asked for."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tasks.models import Run, Task
from web.admin_site import (
    ActionVariant,
    ChoicesDropdownFilter,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    action,
    display,
    link_column,
    list_link,
    pretty,
    reload_page,
    state_column,
    tab,
)

from . import operations
from .runs import RunAdmin


@admin.register(Task)
class TaskAdmin(ReadOnlyAdmin):
    list_display = (
        "summary",
        "id",
        "status",
        "why",
        "run_",
        "network_",
        "project_",
        "priority",
        "created_at",
    )
    list_filter = (
        ("run__state", ChoicesDropdownFilter),
        ("run__wait_reason", ChoicesDropdownFilter),
        ("run__error_code", FieldTextFilter),
        ("network__name", FieldTextFilter),
        ("project__name", FieldTextFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("run", "network", "project")
    search_fields = (
        "id__exact",
        "run__id__exact",
        "network__id__exact",
        "project__id__exact",
        "request_id__exact",
    )
    search_help_text = "The id of a task, run, network, project or request, exactly."
    fields = (
        "description",
        ("status", "why", "error"),
        ("run_", "network_", "project_"),
        ("priority", "deadline", "request_id"),
        ("created_at", "related"),
        "context_",
        "output_schema_",
    )
    change_form_datasets = (
        tab(
            RunAdmin, Run, "task_id",
            "link", "status", "why", "took", "calls", "tokens", "money", "created_at",
            title="Runs",
        ),
    )  # fmt: skip
    actions = ("cancel_selected", "retry_selected", "requeue_selected")
    actions_detail = ("cancel", "retry", "requeue")

    run_ = link_column("run_id", "tasks.run", "Latest run")
    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")
    status = state_column("run.state")

    @display(description="Task")
    def summary(self, obj: Task) -> str:
        return str(obj) + ("…" if len(obj.description) > 60 else "")

    @display(description="Waits for")
    def why(self, obj: Task) -> str:
        return (obj.run.wait_reason if obj.run else "") or "–"

    @display(description="Error")
    def error(self, obj: Task) -> str:
        return f"{obj.run.error_code}: {obj.run.error_detail}" if obj.run and obj.run.error_code else "–"

    @display(description="See all")
    def related(self, obj: Task) -> Any:
        return list_link("tasks.step", "steps of its runs", run__task__id__exact=obj.pk)

    @display(description="Context")
    def context_(self, obj: Task) -> Any:
        return pretty(obj.context)

    @display(description="Output schema")
    def output_schema_(self, obj: Task) -> Any:
        return pretty(obj.output_schema)

    @action(
        description="Cancel",
        icon="cancel",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=operations.CANCEL,
    )
    def cancel(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._operate(request, object_id, self.cancel_selected)

    @action(description="Retry", icon="refresh", permissions=["operate"], dialog=operations.RETRY)
    def retry(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._operate(request, object_id, self.retry_selected)

    @action(description="Requeue", icon="replay", permissions=["operate"], dialog=operations.REQUEUE)
    def requeue(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._operate(request, object_id, self.requeue_selected)

    @action(description="Cancel", permissions=["operate"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        operations.cancel(self, request, _runs(queryset))

    @action(description="Retry", permissions=["operate"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        operations.retry(self, request, queryset[: operations.AT_ONCE])

    @action(description="Requeue: try waiting steps now", permissions=["operate"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        operations.requeue(self, request, _runs(queryset))

    def _operate(self, request: HttpRequest, task_id: str, act: Any) -> HttpResponse:
        act(request, Task.objects.filter(pk=task_id))
        return reload_page(reverse("admin:tasks_task_change", args=[task_id]))


def _runs(tasks: QuerySet[Task]) -> list[Run]:
    return [task.run for task in tasks.select_related("run")[: operations.AT_ONCE] if task.run]
