"""Agents, of networks and of projects."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.filters import EmptyFieldListFilter

from agents.models import Agent
from agents.tool_selectors import check_tools
from web.admin_site import (
    ConfigurationAdmin,
    FieldTextFilter,
    ReasonForm,
    add_problem,
    display,
    link_column,
    list_link,
    state_column,
)
from web.problems import Problem


class AgentForm(ReasonForm):
    """Refuses what the API refuses: tools and networks of another project."""

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        project, network = values.get("project"), values.get("network")
        if project and network and network.project_id != project.pk:
            self.add_error("network", "Belongs to another project.")
        if project and values.get("tools"):
            try:
                check_tools(project.pk, values["tools"])
            except Problem as problem:
                add_problem(self, problem)
        return values


@admin.register(Agent)
class AgentAdmin(ConfigurationAdmin):
    form = AgentForm
    list_display = ("name", "id", "kind", "model_", "network_", "project_", "tools_", "calls")
    list_filter = (
        ("network", EmptyFieldListFilter),
        ("type", FieldTextFilter),
        ("model", FieldTextFilter),
        ("network__name", FieldTextFilter),
        ("project__name", FieldTextFilter),
    )
    list_select_related = ("network", "project")
    search_fields = ("id__exact", "network__id__exact", "project__id__exact", "name")
    search_help_text = "An id of an agent, network or project, or a part of a name."
    autocomplete_fields = ("project", "network")
    readonly_fields = ("id", "calls", "created_at", "updated_at")

    kind = state_column("type", "Type")
    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    @display(description="Model", empty_value="first of the chain")
    def model_(self, obj: Agent) -> str | None:
        return obj.model or None

    @display(description="Tools")
    def tools_(self, obj: Agent) -> str:
        return str(len(obj.tools)) if obj.tools else "–"

    @display(description="See")
    def calls(self, obj: Agent) -> Any:
        return list_link("agents.modelcall", "model calls", agent_id__exact=obj.pk)
