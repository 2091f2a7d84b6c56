"""Staff pages of the tenant boundary: projects, networks, API keys."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from web.admin_site import (
    ActionVariant,
    ChoicesDropdownFilter,
    ConfigurationAdmin,
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
    list_link,
    reload_page,
    state_column,
)
from web.problems import Problem

from . import services
from .models import ApiKey, Network, Project, Scope


@admin.register(Project)
class ProjectAdmin(ConfigurationAdmin):
    list_display = ("name", "id", "networks_", "keys", "weight", "requests_per_minute", "created_at")
    search_fields = ("id__exact", "name")
    search_help_text = "An id, or a part of a name."
    readonly_fields = ("id", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                network_count=Count("networks", distinct=True), key_count=Count("api_keys", distinct=True)
            )
        )

    @display(description="Networks")
    def networks_(self, obj: Any) -> str:
        return list_link("networks.network", obj.network_count, project__id__exact=obj.pk)

    @display(description="API keys")
    def keys(self, obj: Any) -> str:
        return list_link("networks.apikey", obj.key_count, project__id__exact=obj.pk)


@admin.register(Network)
class NetworkAdmin(ConfigurationAdmin):
    list_display = (
        "name",
        "id",
        "project_",
        "state",
        "max_iterations",
        "timeout_seconds",
        "budget",
        "related",
    )
    list_filter = (("status", ChoicesDropdownFilter), ("project__name", FieldTextFilter))
    list_select_related = ("project",)
    search_fields = ("id__exact", "project__id__exact", "name")
    search_help_text = "An id of a network or project, or a part of a name."
    autocomplete_fields = ("project",)
    readonly_fields = ("id", "related", "created_at", "updated_at")

    project_ = link_column("project_id", "networks.project", "Project", "project.name")
    state = state_column("status", "Status")

    @display(description="See")
    def related(self, obj: Network) -> Any:
        return list_link("tasks.task", "tasks", network__id__exact=obj.pk)


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
        initial=[Scope.READ, Scope.WRITE],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="admin includes managing agents, networks and keys; voice answers telephone calls.",
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
