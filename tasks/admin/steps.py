"""Steps, their attempts and the event log."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join

from agents.admin import ModelCallAdmin, ToolCallAdmin
from agents.models import Agent, ModelCall, ToolCall
from tasks.models import Approval, Attempt, Event, Run, Step, StepBody
from web.admin_site import (
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


def duration(start: datetime | None, end: datetime | None) -> str:
    """Say how long something took, or has taken so far."""
    if start is None:
        return "–"
    seconds = ((end or timezone.now()) - start).total_seconds()
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = ("id", "step_", "fence", "status", "worker", "took", "detail", "finished_at")
    list_filter = (("outcome", ChoicesDropdownFilter), ("finished_at", RangeDateTimeFilter))
    search_fields = ("step__id__exact", "step__run__id__exact")
    search_help_text = "The id of a step or run, exactly."
    ordering = ("-id",)

    step_ = link_column("step_id", "tasks.step", "Step")
    status = state_column("outcome", "Outcome")

    @display(description="Took")
    def took(self, obj: Attempt) -> str:
        return duration(obj.started_at, obj.finished_at)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("id", "run_", "seq", "type", "step", "at", "summary")
    list_filter = (("type", FieldTextFilter), ("at", RangeDateTimeFilter))
    search_fields = ("run__id__exact", "step_id__exact")
    search_help_text = "The id of a run or step, exactly."
    ordering = ("-id",)
    fields = (("run_", "seq", "type"), ("step", "at"), "body")

    run_ = link_column("run_id", "tasks.run", "Run")
    step = link_column("step_id", "tasks.step", "Step")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "step_id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description="Payload")
    def summary(self, obj: Event) -> str:
        text = ", ".join(f"{name}: {value}" for name, value in obj.payload.items())
        return text[:120] + ("…" if len(text) > 120 else "")

    @display(description="Payload")
    def body(self, obj: Event) -> Any:
        return pretty(obj.payload)


@admin.register(Step)
class StepAdmin(ReadOnlyAdmin):
    list_display = ("name", "id", "kind", "status", "why", "run_", "agent", "counts", "queued", "took")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("wait_reason", ChoicesDropdownFilter),
        ("kind", FieldTextFilter),
        ("error_code", FieldTextFilter),
        ("project__name", FieldTextFilter),
    )
    search_fields = ("id__exact", "run__id__exact", "run__task__id__exact", "agent_id__exact", "owner__exact")
    search_help_text = "The id of a step, run, task, agent or worker, exactly."
    fields = (
        ("name", "kind", "key"),
        ("status", "why", "error_code"),
        "error_detail",
        ("run_", "agent", "worker"),
        ("round", "required", "related"),
        ("waits_for", "approval_"),
        ("fence", "counts"),
        ("created_at", "ready_at", "claimed_at"),
        ("started_at", "finished_at", "deadline_at"),
        ("run_after", "rank"),
        "given",
        "returned",
        "context",
    )
    change_form_datasets = (
        tab(AttemptAdmin, Attempt, "step_id", "fence", "status", "worker", "took", "detail", title="Attempts"),
        tab(
            ModelCallAdmin, ModelCall, "step_id",
            "link", "status", "provider", "model", "turn_and_try", "failure", "tokens", "money", "latency",
            title="Model calls",
        ),
        tab(
            ToolCallAdmin, ToolCall, "step_id",
            "link", "status", "tool", "place", "error_code", "took", "started_at",
            title="Tool calls",
        ),
    )  # fmt: skip
    actions = ("requeue_selected",)
    actions_detail = ("requeue", "retry_from")

    status = state_column()
    run_ = link_column("run_id", "tasks.run", "Run")
    agent = link_column("agent_id", "agents.agent", "Agent", "agent_name")
    worker = link_column("owner", "tasks.worker", "Worker")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Step]:
        """Steps name their agent by a plain id, which outlives it."""
        named = Agent.objects.filter(pk=OuterRef("agent_id")).values("name")
        return super().get_queryset(request).annotate(agent_name=Subquery(named))

    @display(description="Step")
    def name(self, obj: Step) -> str:
        return str(obj)

    @display(description="Step")
    def link(self, obj: Step) -> Any:
        return link("tasks.step", obj.pk, obj)

    @display(description="Waits for")
    def why(self, obj: Step) -> str:
        return obj.wait_reason or "–"

    @display(description="Tries · crashes · releases")
    def counts(self, obj: Step) -> str:
        return f"{obj.tries} · {obj.crashes} · {obj.releases}"

    @display(description="Queued")
    def queued(self, obj: Step) -> str:
        return duration(obj.ready_at, obj.claimed_at or obj.finished_at)

    @display(description="Took")
    def took(self, obj: Step) -> str:
        return duration(obj.claimed_at, obj.finished_at)

    @display(description="After")
    def waits_for(self, obj: Step) -> Any:
        return format_html_join(", ", "{}", ((link("tasks.step", one),) for one in obj.parents)) or "–"

    @display(description="Approval")
    def approval_(self, obj: Step) -> Any:
        found = Approval.objects.filter(step=obj).values_list("pk", "state").first()
        return link("tasks.approval", found[0], found[1]) if found else "–"

    @display(description="See")
    def related(self, obj: Step) -> Any:
        return list_link("tasks.event", "its events", step_id__exact=obj.pk)

    @display(description="Input")
    def given(self, obj: Step) -> Any:
        return pretty(_body(obj).input)

    @display(description="Output")
    def returned(self, obj: Step) -> Any:
        return pretty(_body(obj).output)

    @display(description="Frozen context")
    def context(self, obj: Step) -> Any:
        return pretty(_body(obj).context)

    @action(description="Requeue", icon="replay", permissions=["operate"], dialog=operations.REQUEUE)
    def requeue(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        self.requeue_selected(request, Step.objects.filter(pk=object_id))
        return reload_page(reverse("admin:tasks_step_change", args=[object_id]))

    @action(
        description="Retry from here", icon="refresh", permissions=["operate"], dialog=operations.RETRY_FROM
    )
    def retry_from(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        made = operations.retry_from(self, request, Step.objects.select_related("run").get(pk=object_id))
        if made is None:
            return reload_page(reverse("admin:tasks_step_change", args=[object_id]))
        return reload_page(reverse("admin:tasks_run_change", args=[made.pk]))

    @action(description="Requeue: try the waiting steps of their runs now", permissions=["operate"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[Step]) -> None:
        runs = Run.objects.filter(pk__in=queryset.order_by().values("run_id"))
        operations.requeue(self, request, runs[: operations.AT_ONCE])


def _body(step: Step) -> StepBody:
    try:
        return step.body
    except StepBody.DoesNotExist:
        return StepBody(step=step)
