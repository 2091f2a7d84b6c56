"""API keys: made, rotated, revoked."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from networks import services
from networks.models import ApiKey, Scope
from web.admin_site import (
    ActionVariant,
    ConfirmForm,
    FieldTextFilter,
    StaffAdmin,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextInputWidget,
    action,
    ago,
    badge,
    confirm,
    display,
    link_column,
    reload_page,
)
from web.problems import Problem


class RotateForm(ConfirmForm):
    """Asks how long both keys are to work."""

    overlap_hours = forms.IntegerField(
        min_value=0,
        max_value=24 * 30,
        initial=24,
        label="Hours that the old key goes on working",
        widget=UnfoldAdminTextInputWidget,
    )


class ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=[Scope.READ, Scope.WRITE, Scope.VOICE],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="admin includes the others and managing keys; voice is for sessions, calls and numbers.",
    )

    class Meta:
        model = ApiKey
        fields = ("project", "name", "scopes", "network_ids", "expires_at")


@admin.register(ApiKey)
class ApiKeyAdmin(StaffAdmin):
    """Keys are made, rotated and revoked. They are never shown again, changed or deleted."""

    form = ApiKeyForm
    list_display = ("name", "prefix", "project_", "state", "scope_list", "used", "expires_at")
    list_filter = (("project__name", FieldTextFilter),)
    list_select_related = ("project",)
    search_fields = ("id__exact", "prefix__exact", "project__id__exact", "name")
    search_help_text = "An id, a prefix, a project's id, or a part of a name."
    autocomplete_fields = ("project",)
    actions = ("revoke_selected",)
    actions_detail = ("rotate", "revoke")

    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    @display(description="State")
    def state(self, obj: ApiKey) -> str:
        if obj.revoked_at:
            return badge("revoked")
        return badge("expired" if obj.expires_at and obj.expires_at <= timezone.now() else "active")

    @display(description="Scopes")
    def scope_list(self, obj: ApiKey) -> str:
        return ", ".join(obj.scopes)

    @display(description="Last used", ordering="last_used_at")
    def used(self, obj: ApiKey) -> str:
        return ago(obj.last_used_at)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Create through the service, which alone knows how a secret is made, and show it this once."""
        made, secret = services.create_api_key(
            project=obj.project,
            name=obj.name,
            scopes=form.cleaned_data["scopes"],
            network_ids=obj.network_ids,
            expires_at=obj.expires_at,
        )
        obj.pk = made.pk
        obj.prefix = made.prefix
        self._show(request, made, secret)

    @action(
        description="Rotate",
        icon="autorenew",
        permissions=["operate"],
        dialog=confirm(
            "Rotate this key?",
            "A new key with the same rights is made and shown once.",
            "Rotate",
            RotateForm,
        ),
    )
    def rotate(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        overlap = timedelta(hours=form.cleaned_data["overlap_hours"])
        try:
            made, secret = services.rotate_api_key(key=ApiKey.objects.get(pk=object_id), overlap=overlap)
        except Problem as problem:
            messages.error(request, str(problem))
            return reload_page(reverse("admin:networks_apikey_change", args=[object_id]))
        self._show(request, made, secret)
        return reload_page(reverse("admin:networks_apikey_change", args=[made.pk]))

    @action(
        description="Revoke",
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=confirm("Revoke this key?", "Requests with it are refused from now on.", "Revoke"),
    )
    def revoke(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        key = ApiKey.objects.get(pk=object_id)
        services.revoke_api_key(key=key)
        self.log_change(request, key, "Revoked.")
        messages.success(request, f"“{key.name}” is revoked.")
        return reload_page(reverse("admin:networks_apikey_change", args=[object_id]))

    @action(description="Revoke", permissions=["operate"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        keys = list(queryset.filter(revoked_at__isnull=True))
        for key in keys:
            services.revoke_api_key(key=key)
            self.log_change(request, key, "Revoked.")
        messages.success(request, f"{len(keys)} revoked.")

    def _show(self, request: HttpRequest, key: ApiKey, secret: str) -> None:
        self.log_change(request, key, "Secret shown once.")
        messages.warning(request, f"The key of “{key.name}”, shown this once; copy it now: {secret}")
