"""Tools. Their secrets are written here and never shown."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest

from agents import tool_services
from agents.crypto import CannotDecrypt
from agents.models import Tool
from web.admin_site import (
    ChoicesDropdownFilter,
    FieldTextFilter,
    HistoryAdmin,
    ReasonForm,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextInputWidget,
    add_problem,
    badge,
    display,
    link_column,
    list_link,
    pretty,
)
from web.problems import Problem


class ToolForm(ReasonForm):
    """Sets one secret at a time, and never gives one back."""

    name = forms.RegexField(
        r"^[A-Za-z0-9_-]{1,64}\Z",
        widget=UnfoldAdminTextInputWidget,
        help_text="What models call it by: letters, digits, _ and -.",
    )
    secret_name = forms.CharField(
        required=False,
        max_length=100,
        label="Secret to set",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Its name: the config uses it as {secret:name}.",
    )
    secret_value = forms.CharField(
        required=False,
        label="Its value",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown.",
    )
    forget = forms.MultipleChoiceField(
        required=False, label="Secrets to forget", widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    class Meta:
        model = Tool
        fields = (
            "project",
            "name",
            "type",
            "description",
            "config",
            "input_schema",
            "output_schema",
            "effect",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        forget: Any = self.fields.get("forget")
        if forget is not None:  # it is for those who may only look
            forget.choices = [(name, name) for name in secret_names(self.instance)]
            commands = ", ".join(settings.MESH_MCP_COMMANDS) or "none"
            self.fields["config"].help_text = (
                "What the type wants, see docs/tools.md. Commands that an mcp tool may name, by MESH_MCP_COMMANDS: "
                f"{commands}."
            )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if bool(values.get("secret_name")) != bool(values.get("secret_value")):
            self.add_error("secret_value", "A secret has a name and a value.")
        return values

    def _post_clean(self) -> None:
        """What the service would refuse is said at its field."""
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                tool_services.check_tool(self.instance)
            except Problem as problem:
                add_problem(self, problem)

    def secrets(self) -> dict[str, str | None]:
        """The changes of secrets, as the service takes them."""
        changes: dict[str, str | None] = dict.fromkeys(self.cleaned_data["forget"])
        if name := self.cleaned_data["secret_name"]:
            changes[name] = self.cleaned_data["secret_value"]
        return changes


@admin.register(Tool)
class ToolAdmin(HistoryAdmin):
    form = ToolForm
    list_display = ("name", "id", "kind", "effect_", "project_", "secrets_", "calls", "updated_at")
    list_filter = (
        ("type", ChoicesDropdownFilter),
        ("effect", ChoicesDropdownFilter),
        ("project__name", FieldTextFilter),
    )
    list_select_related = ("project",)
    search_fields = ("id__exact", "project__id__exact", "name")
    search_help_text = "An id of a tool or project, or a part of a name."
    autocomplete_fields = ("project",)
    fieldsets = (
        (None, {"fields": ("project", "name", "type", "description", "config", "effect")}),
        ("Schemas", {"fields": ("input_schema", "output_schema", "told")}),
        ("Secrets", {"fields": ("secrets_", "secret_name", "secret_value", "forget")}),
        (None, {"fields": ("change_reason", "calls", "id", "created_at", "updated_at")}),
    )
    readonly_fields = ("secrets_", "told", "calls", "id", "created_at", "updated_at")

    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    @display(description="Type")
    def kind(self, obj: Tool) -> str:
        return badge(obj.type)

    @display(description="Effect")
    def effect_(self, obj: Tool) -> str:
        """As calls see it: a builtin knows its own."""
        return tool_services.spec_of(obj).effect.value

    @display(description="Secrets that are set")
    def secrets_(self, obj: Tool) -> str:
        return ", ".join(secret_names(obj)) or "–"

    @display(description="What models are told")
    def told(self, obj: Tool) -> Any:
        if not obj.pk or not obj.type:
            return "–"
        spec = tool_services.spec_of(obj)
        return pretty({"description": spec.description, "input_schema": spec.input_schema})

    @display(description="See")
    def calls(self, obj: Tool) -> Any:
        return list_link("agents.toolcall", "its calls", tool_id__exact=obj.pk)

    def get_readonly_fields(self, request: HttpRequest, obj: Tool | None = None) -> Any:
        """Agents and workflows of its project name it: it stays there."""
        return (*self.readonly_fields, "project") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Tool, form: ToolForm, change: bool) -> None:
        self.keep_reason(obj, form)
        tool_services.update_tool(tool=obj, changes={"secrets": form.secrets()})


def secret_names(tool: Tool) -> list[str]:
    try:
        return sorted(tool_services.secrets_of(tool))
    except CannotDecrypt:
        return []
