"""Voice processes and the calls they have."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from voice.models import PhoneCall, VoiceWorker
from web.admin_site import ReadOnlyAdmin, ago, badge, display, list_link, tab

from .calls import PhoneCallAdmin


@admin.register(VoiceWorker)
class VoiceWorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "status", "lease", "slots", "calls", "loop_lag_ms", "host", "pid", "started_at")
    list_filter = ("draining",)
    search_fields = ("name", "host")
    change_form_datasets = (
        tab(
            PhoneCallAdmin, PhoneCall, "worker",
            "link", "status", "who", "network_", "took", "turn_count", "quality", "created_at",
            title="Calls",
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[VoiceWorker]:
        """Leases are written in the database's time, so they are judged by it too."""
        rows: QuerySet[VoiceWorker] = super().get_queryset(request)
        return rows.annotate(now=Now())

    @display(description="State")
    def status(self, obj: Any) -> str:
        if obj.lease_until <= obj.now:
            return badge("lost")
        return badge("draining" if obj.draining else "serving")

    @display(description="Lease")
    def lease(self, obj: VoiceWorker) -> str:
        return ago(obj.lease_until)

    @display(description="Calls")
    def calls(self, obj: VoiceWorker) -> Any:
        return list_link("voice.phonecall", "active", worker__exact=obj.pk, state__exact="active")
