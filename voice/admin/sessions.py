"""Voice sessions: configs with a lifetime."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from voice import sessions
from voice.models import VoiceSession
from web.admin_site import (
    ActionVariant,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    action,
    ago,
    badge,
    confirm,
    display,
    link_column,
    list_link,
    pretty,
    reload_page,
)


@admin.register(VoiceSession)
class VoiceSessionAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "status",
        "provider",
        "network_",
        "project_",
        "version",
        "life",
        "calls",
        "created_at",
    )
    list_filter = (
        ("provider", FieldTextFilter),
        ("network__name", FieldTextFilter),
        ("project__name", FieldTextFilter),
        ("expires_at", RangeDateTimeFilter),
    )
    list_select_related = ("network", "project")
    search_fields = ("id__exact", "network__id__exact", "project__id__exact")
    search_help_text = "The id of a session, network or project, exactly."
    fields = (
        ("status", "provider", "version"),
        ("network_", "project_", "calls"),
        ("life", "expires_at", "ended_at"),
        ("created_at", "updated_at"),
        "config_",
        "room_",
    )
    actions_detail = ("end",)

    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    @display(description="State")
    def status(self, obj: VoiceSession) -> str:
        if obj.ended_at:
            return badge("ended")
        return badge("expired" if obj.expires_at <= timezone.now() else "live")

    @display(description="Expires")
    def life(self, obj: VoiceSession) -> str:
        return ago(obj.expires_at)

    @display(description="See")
    def calls(self, obj: VoiceSession) -> Any:
        return list_link("voice.phonecall", "calls", q=obj.pk)

    @display(description="Config")
    def config_(self, obj: VoiceSession) -> Any:
        return pretty(obj.config)

    @display(description="Room")
    def room_(self, obj: VoiceSession) -> Any:
        return pretty(obj.room)

    @action(
        description="End",
        icon="timer_off",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=confirm("End this session?", "Nobody gets in any more. Calls in progress go on.", "End"),
    )
    def end(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        session = VoiceSession.objects.get(pk=object_id)
        sessions.end_session(session=session)
        self.log_change(request, session, "Ended.")
        messages.success(request, "The session has ended.")
        return reload_page(reverse("admin:voice_voicesession_change", args=[object_id]))
