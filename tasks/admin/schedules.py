"""Schedules: workflows that start by the clock."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from simple_history.utils import update_change_reason

from tasks.schedules import services
from web.admin_site import (
    FieldTextFilter,
    HistoryAdmin,
    ReasonForm,
    action,
    add_problem,
    ago,
    badge,
    confirm,
    display,
    link_column,
    reload_page,
)
from web.problems import Problem
from workflows.cron import BadCron, BadTimezone, Cron
from workflows.models import Schedule

AT_ONCE = 200
FIELDS = ("workflow", "name", "cron", "timezone", "input", "catch_up", "active")


class ScheduleForm(ReasonForm):
    class Meta:
        model = Schedule
        fields = FIELDS

    def _post_clean(self) -> None:
        """What the service would refuse is said at its field."""
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                services.set_next(self.instance)
            except Problem as problem:
                add_problem(self, problem)


@admin.register(Schedule)
class ScheduleAdmin(HistoryAdmin):
    form = ScheduleForm
    list_display = (
        "title",
        "state",
        "cron",
        "timezone",
        "next",
        "workflow_",
        "project_",
        "last_at",
        "last_run",
    )
    list_filter = ("active", ("timezone", FieldTextFilter), ("project__name", FieldTextFilter))
    list_select_related = ("workflow", "project")
    search_fields = ("id__exact", "workflow__id__exact", "project__id__exact", "name")
    search_help_text = "An id of a schedule, workflow or project, or a part of a name."
    autocomplete_fields = ("workflow",)
    fieldsets = (
        (None, {"fields": ("workflow", "name", ("cron", "timezone"), "input", "catch_up", "active")}),
        ("What comes", {"fields": ("upcoming", ("last_at", "last_run"), "last_error")}),
        (None, {"fields": ("change_reason", ("id", "created_at", "updated_at"))}),
    )
    readonly_fields = ("upcoming", "last_at", "last_run", "last_error", "id", "created_at", "updated_at")
    actions = ("pause_selected", "resume_selected")
    actions_detail = ("pause", "resume")

    workflow_ = link_column("workflow_id", "workflows.workflow", "Workflow", "workflow.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")
    last_run = link_column("last_run_id", "tasks.run", "Last run")

    @display(description="Schedule")
    def title(self, obj: Schedule) -> str:
        return str(obj)

    @display(description="State")
    def state(self, obj: Schedule) -> str:
        if not obj.active:
            return badge("switched off" if obj.last_error else "paused")
        return badge("failing" if obj.last_error else "active")

    @display(description="Next run")
    def next(self, obj: Schedule) -> str:
        return ago(obj.next_at)

    @display(description="Next runs")
    def upcoming(self, obj: Schedule) -> Any:
        """The next five, by its own clock and by ours."""
        try:
            cron = Cron(obj.cron, obj.timezone)
        except (BadCron, BadTimezone):
            return "–"
        if not obj.active:
            return "None: it is paused."
        times = islice(_times(cron), 5)
        shown = ((f"{at.astimezone(cron.zone):%a %d %b %Y, %H:%M %Z}", ago(at)) for at in times)
        return format_html_join("", "<p>{} <span class='mesh-note'>{}</span></p>", shown)

    def get_readonly_fields(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        return (*self.readonly_fields, "workflow") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in FIELDS if name in form.cleaned_data}
        if change:
            changes = {name: value for name, value in values.items() if name in form.changed_data}
            saved = services.update_schedule(schedule=obj, changes=changes)
        else:
            saved = services.create_schedule(workflow=values.pop("workflow"), values=values)
            obj.pk = saved.pk
        if reason := form.cleaned_data.get("change_reason"):
            update_change_reason(saved, reason)

    def needless(self, obj: Schedule) -> tuple[str, ...]:
        return ("resume",) if obj.active else ("pause",)

    @action(
        description="Pause",
        icon="pause",
        permissions=["operate"],
        dialog=confirm("Pause it?", "Nothing starts until it goes on.", "Pause"),
    )
    def pause(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._switch_one(request, object_id, False)

    @action(
        description="Resume",
        icon="play_arrow",
        permissions=["operate"],
        dialog=confirm(
            "Let it go on?", "From the next time on: what was due meanwhile is not caught up.", "Resume"
        ),
    )
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._switch_one(request, object_id, True)

    @action(description="Pause", permissions=["operate"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._switch(request, queryset[:AT_ONCE], False)

    @action(description="Resume", permissions=["operate"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._switch(request, queryset[:AT_ONCE], True)

    def _switch_one(self, request: HttpRequest, schedule_id: str, active: bool) -> HttpResponse:
        self._switch(request, Schedule.objects.filter(pk=schedule_id), active)
        return reload_page(reverse("admin:workflows_schedule_change", args=[schedule_id]))

    def _switch(self, request: HttpRequest, schedules: Iterable[Schedule], active: bool) -> None:
        done = "Resumed." if active else "Paused."
        for schedule in schedules:
            try:
                services.update_schedule(schedule=schedule, changes={"active": active})
            except Problem as problem:
                messages.error(request, f"{schedule}: {problem}")
                continue
            self.log_change(request, schedule, done)
            messages.success(request, f"{schedule}: {done}")


def _times(cron: Cron) -> Iterable[Any]:
    moment = cron.after(timezone.now())
    while moment is not None:
        yield moment
        moment = cron.after(moment)
