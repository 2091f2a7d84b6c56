"""Triggers: addresses at which something outside starts a workflow."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tasks.triggers import services
from web.admin_site import (
    ActionVariant,
    FieldTextFilter,
    StaffAdmin,
    action,
    ago,
    badge,
    confirm,
    display,
    link_column,
    reload_page,
)
from workflows.models import Trigger


class TriggerForm(forms.ModelForm):
    class Meta:
        model = Trigger
        fields = ("workflow", "name", "event_types", "active")


@admin.register(Trigger)
class TriggerAdmin(StaffAdmin):
    """Its address and secret are shown when they are made, and never again."""

    form = TriggerForm
    list_display = ("title", "id", "state", "workflow_", "project_", "listens", "used", "created_at")
    list_filter = ("active", ("workflow__name", FieldTextFilter), ("project__name", FieldTextFilter))
    list_select_related = ("workflow", "project")
    search_fields = ("id__exact", "workflow__id__exact", "project__id__exact", "name")
    search_help_text = "An id of a trigger, workflow or project, or a part of a name."
    autocomplete_fields = ("workflow",)
    readonly_fields = ("state", "used", "id", "created_at")
    actions_detail = ("rotate", "revoke")

    workflow_ = link_column("workflow_id", "workflows.workflow", "Workflow", "workflow.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    @display(description="Trigger")
    def title(self, obj: Trigger) -> str:
        return str(obj)

    @display(description="State")
    def state(self, obj: Trigger) -> str:
        return badge("active" if obj.active else "revoked")

    @display(description="Listens to")
    def listens(self, obj: Trigger) -> str:
        return ", ".join(obj.event_types) or "everything"

    @display(description="Last used")
    def used(self, obj: Trigger) -> str:
        return ago(obj.last_used_at)

    def get_readonly_fields(self, request: HttpRequest, obj: Trigger | None = None) -> Any:
        return (*self.readonly_fields, "workflow") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Trigger, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in ("name", "event_types", "active")}
        if change:
            services.update_trigger(trigger=obj, changes=values)
            return
        made, keys = services.create_trigger(workflow=form.cleaned_data["workflow"], values=values)
        obj.pk = made.pk
        self._show(request, made, keys)

    def needless(self, obj: Trigger) -> tuple[str, ...]:
        return () if obj.active else ("revoke",)

    @action(
        description="Rotate",
        icon="autorenew",
        permissions=["operate"],
        dialog=confirm(
            "Rotate it?",
            "Its address and secret work no more at once; new ones are shown, this once.",
            "Rotate",
        ),
    )
    def rotate(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        trigger = Trigger.objects.get(pk=object_id)
        self._show(request, trigger, services.rotate(trigger=trigger))
        return _back(object_id)

    @action(
        description="Revoke",
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=confirm("Revoke it?", "Whatever calls its address is refused from now on.", "Revoke"),
    )
    def revoke(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        trigger = services.update_trigger(
            trigger=Trigger.objects.get(pk=object_id), changes={"active": False}
        )
        self.log_change(request, trigger, "Revoked.")
        messages.success(request, f"“{trigger}” is revoked.")
        return _back(object_id)

    def _show(self, request: HttpRequest, trigger: Trigger, keys: services.Keys) -> None:
        self.log_change(request, trigger, "Secret shown once.")
        messages.warning(request, f"Shown this once; copy it now: address {keys.url} secret {keys.secret}")


def _back(trigger_id: str) -> HttpResponse:
    return reload_page(reverse("admin:workflows_trigger_change", args=[trigger_id]))
