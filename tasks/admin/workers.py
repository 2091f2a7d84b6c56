"""Worker processes and what they hold."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from tasks.models import Step, Worker
from web.admin_site import ReadOnlyAdmin, ago, badge, display, list_link, tab

from .steps import StepAdmin


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("slot", "id", "status", "lease", "host", "pid", "steps", "stale_writes", "started_at")
    list_filter = ("draining",)
    search_fields = ("id__exact", "slot", "host")
    change_form_datasets = (
        tab(StepAdmin, Step, "owner", "link", "kind", "status", "run_", "agent", "queued", "took", title="Steps"),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Leases are written in the database's time, so they are judged by it too."""
        rows: QuerySet[Worker] = super().get_queryset(request)
        return rows.annotate(now=Now())

    @display(description="State")
    def status(self, obj: Any) -> str:
        if obj.lease_until <= obj.now:
            return badge("lost")
        return badge("draining" if obj.draining else "serving")

    @display(description="Lease")
    def lease(self, obj: Worker) -> str:
        return (
            f"ended {ago(obj.lease_until)}"
            if ago(obj.lease_until).endswith("ago")
            else f"ends {ago(obj.lease_until)}"
        )

    @display(description="Steps")
    def steps(self, obj: Worker) -> Any:
        return list_link("tasks.step", "running", owner__exact=obj.pk, state__exact="running")
