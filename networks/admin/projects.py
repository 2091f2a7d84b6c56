"""Projects and networks."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from networks.models import Network, Project
from web.admin_site import (
    ChoicesDropdownFilter,
    ConfigurationAdmin,
    FieldTextFilter,
    display,
    link_column,
    list_link,
    state_column,
)


@admin.register(Project)
class ProjectAdmin(ConfigurationAdmin):
    list_display = (
        "name",
        "id",
        "networks_",
        "members_",
        "keys",
        "weight",
        "requests_per_minute",
        "created_at",
    )
    search_fields = ("id__exact", "name")
    search_help_text = "An id, or a part of a name."
    readonly_fields = ("id", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                network_count=Count("networks", distinct=True),
                member_count=Count("members", distinct=True),
                key_count=Count("api_keys", distinct=True),
            )
        )

    @display(description="Networks")
    def networks_(self, obj: Any) -> str:
        return list_link("networks.network", obj.network_count, project__id__exact=obj.pk)

    @display(description="Members")
    def members_(self, obj: Any) -> str:
        return list_link("networks.member", obj.member_count, project__id__exact=obj.pk)

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
