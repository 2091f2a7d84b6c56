"""Members: who belongs to a project, and may decide its approvals."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from networks import services
from networks.models import Member
from web.admin_site import (
    ChoicesDropdownFilter,
    FieldTextFilter,
    HistoryAdmin,
    ReasonForm,
    link_column,
    state_column,
)


class MemberForm(ReasonForm):
    class Meta:
        model = Member
        fields = ("project", "email", "role")

    def clean_email(self) -> str:
        """As it is kept; so that a second membership is seen here, whatever its letters."""
        return str(self.cleaned_data["email"]).lower()


@admin.register(Member)
class MemberAdmin(HistoryAdmin):
    form = MemberForm
    list_display = ("email", "role_", "project_", "user_", "created_at")
    list_filter = (("role", ChoicesDropdownFilter), ("project__name", FieldTextFilter))
    list_select_related = ("project", "user")
    search_fields = ("id__exact", "project__id__exact", "email")
    search_help_text = "An id of a member or project, or a part of an address."
    autocomplete_fields = ("project",)
    fields = ("project", "email", "role", "change_reason", "user_", "id", "created_at")
    readonly_fields = ("user_", "id", "created_at")

    role_ = state_column("role", "Role")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")
    user_ = link_column("user_id", "auth.user", "Logs in as", "user.username")

    def save_model(self, request: HttpRequest, obj: Member, form: Any, change: bool) -> None:
        """The service knows whose address it is."""
        self.keep_reason(obj, form)
        services.update_member(member=obj, changes={})
