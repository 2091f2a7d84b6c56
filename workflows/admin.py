"""Staff pages of workflows and their versions: looked at, published and archived here, drawn elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.filters import EmptyFieldListFilter
from django.db.models import Exists, Func, IntegerField, OuterRef, QuerySet
from django.db.models.fields.json import KeyTransform
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from simple_history.admin import SimpleHistoryAdmin

from web.admin_site import (
    ActionVariant,
    ConfirmForm,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    UnfoldAdminTextInputWidget,
    action,
    badge,
    confirm,
    display,
    link,
    link_column,
    list_link,
    pretty,
    reload_page,
    tab,
)
from web.problems import Problem

from . import services
from .models import Workflow, WorkflowVersion


class PublishForm(ConfirmForm):
    """Asks what is new."""

    note = forms.CharField(
        required=False, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="What is new in it."
    )


PUBLISH = confirm(
    "Publish?",
    "Runs that name no version take this one from now on; those that have begun keep theirs.",
    "Publish",
    PublishForm,
)


@admin.register(WorkflowVersion)
class WorkflowVersionAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "workflow_",
        "number",
        "status",
        "checked",
        "note",
        "size",
        "runs",
        "created_by",
        "created_at",
    )
    list_filter = (
        "valid",
        ("published_at", EmptyFieldListFilter),
        ("workflow__project__name", FieldTextFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("workflow",)
    search_fields = ("workflow__id__exact", "workflow__project__id__exact")
    search_help_text = "The id of a workflow or project, exactly."
    ordering = ("-id",)
    fields = (
        ("workflow_", "number", "status"),
        ("checked", "published_at", "runs"),
        ("note", "created_by", "created_at"),
        "findings_",
        "nodes",
        "edges",
        "graph_",
    )
    actions_detail = ("publish",)

    workflow_ = link_column("workflow_id", "workflows.workflow", "Workflow", "workflow.name")

    @display(description="Version")
    def link(self, obj: WorkflowVersion) -> Any:
        return link("workflows.workflowversion", obj.pk, f"Version {obj.number}")

    @display(description="State")
    def status(self, obj: WorkflowVersion) -> str:
        if obj.workflow.published == obj.number:
            return badge("published")
        return badge("published before" if obj.published_at else "draft")

    @display(description="Check")
    def checked(self, obj: WorkflowVersion) -> str:
        return badge("valid" if obj.valid else "invalid")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowVersion]:
        """Lists need no graphs, which may be long, only how long they are."""
        rows: QuerySet[WorkflowVersion] = super().get_queryset(request)
        length = Func(
            KeyTransform("nodes", "graph"), function="jsonb_array_length", output_field=IntegerField()
        )
        return rows.defer("graph").annotate(node_count=length)

    @display(description="Nodes")
    def size(self, obj: Any) -> int:
        return int(obj.node_count)

    @display(description="See")
    def runs(self, obj: WorkflowVersion) -> Any:
        return list_link(
            "tasks.run", "runs", workflow__id__exact=obj.workflow_id, workflow_version__exact=str(obj.number)
        )

    @display(description="Findings")
    def findings_(self, obj: WorkflowVersion) -> Any:
        where = (
            (found.get("node_id") or found.get("edge_id") or "the graph", found) for found in obj.findings
        )
        lines = ((place, found["message"], found["code"]) for place, found in where)
        return format_html_join("", "<p><b>{}:</b> {} ({})</p>", lines) or "–"

    @display(description="Nodes")
    def nodes(self, obj: WorkflowVersion) -> Any:
        return _table(obj.graph["nodes"], Node="id", Type="type", Label="label")

    @display(description="Edges")
    def edges(self, obj: WorkflowVersion) -> Any:
        names = {"From": "from_node_id", "To": "to_node_id", "Label": "label", "Condition": "condition"}
        return _table(obj.graph["edges"], **names)

    @display(description="Graph")
    def graph_(self, obj: WorkflowVersion) -> Any:
        return pretty(obj.graph)

    @action(description="Publish", icon="publish", permissions=["operate"], dialog=PUBLISH)
    def publish(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        version = WorkflowVersion.objects.select_related("workflow").get(pk=object_id)
        _publish(self, request, version.workflow, version.number, form)
        return reload_page(reverse("admin:workflows_workflowversion_change", args=[object_id]))


@admin.register(Workflow)
class WorkflowAdmin(SimpleHistoryAdmin, ReadOnlyAdmin):
    list_display = (
        "name",
        "id",
        "status",
        "checked",
        "published_",
        "latest_",
        "project_",
        "runs",
        "updated_at",
    )
    list_filter = (
        ("archived_at", EmptyFieldListFilter),
        ("published", EmptyFieldListFilter),
        ("project__name", FieldTextFilter),
        ("updated_at", RangeDateTimeFilter),
    )
    list_select_related = ("project",)
    search_fields = ("id__exact", "project__id__exact", "name")
    search_help_text = "An id of a workflow or project, or a part of a name."
    fields = (
        ("name", "project_", "status"),
        "description",
        ("published_", "latest_", "checked"),
        ("runs", "related"),
        ("created_at", "updated_at", "archived_at"),
    )
    change_form_datasets = (
        tab(
            WorkflowVersionAdmin, WorkflowVersion, "workflow_id",
            "link", "status", "checked", "note", "size", "runs", "created_by", "created_at",
            title="Versions",
        ),
    )  # fmt: skip
    actions_detail = ("publish", "archive")

    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workflow]:
        """With whether the latest version can be run."""
        rows: QuerySet[Workflow] = super().get_queryset(request)
        latest = WorkflowVersion.objects.filter(workflow=OuterRef("pk"), number=OuterRef("latest"))
        return rows.annotate(latest_valid=Exists(latest.filter(valid=True)))

    @display(description="State")
    def status(self, obj: Workflow) -> str:
        return badge("archived" if obj.archived_at else "published" if obj.published else "draft")

    @display(description="Latest is")
    def checked(self, obj: Any) -> str:
        return badge("valid" if obj.latest_valid else "invalid")

    @display(description="Published")
    def published_(self, obj: Workflow) -> str:
        return f"Version {obj.published}" if obj.published else "–"

    @display(description="Latest")
    def latest_(self, obj: Workflow) -> str:
        return f"Version {obj.latest}"

    @display(description="Runs")
    def runs(self, obj: Workflow) -> Any:
        return list_link("tasks.run", "runs", workflow__id__exact=obj.pk)

    @display(description="Starts by itself")
    def related(self, obj: Workflow) -> Any:
        return format_html(
            "{} · {}",
            list_link("workflows.schedule", "schedules", workflow__id__exact=obj.pk),
            list_link("workflows.trigger", "triggers", workflow__id__exact=obj.pk),
        )

    def needless(self, obj: Workflow) -> tuple[str, ...]:
        return ("publish", "archive") if obj.archived_at else ()

    @action(description="Publish the latest", icon="publish", permissions=["operate"], dialog=PUBLISH)
    def publish(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        _publish(self, request, Workflow.objects.get(pk=object_id), None, form)
        return reload_page(reverse("admin:workflows_workflow_change", args=[object_id]))

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=confirm(
            "Archive this workflow?",
            "Nobody can start or change it any more, and its schedules and triggers end. Its runs stay.",
            "Archive",
        ),
    )
    def archive(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        workflow = Workflow.objects.get(pk=object_id)
        if workflow.archived_at is None:
            services.archive(workflow=workflow)
            self.log_change(request, workflow, "Archived.")
        messages.success(request, f"“{workflow.name}” is archived.")
        return reload_page(reverse("admin:workflows_workflow_change", args=[object_id]))


def _publish(
    page: ReadOnlyAdmin, request: HttpRequest, workflow: Workflow, number: int | None, form: Any
) -> None:
    """Publish a version, by default the latest, or say everything that keeps it from being run."""
    if workflow.archived_at is not None:
        messages.error(request, "The workflow is archived.")
        return
    try:
        version = services.publish(workflow=workflow, number=number, note=form.cleaned_data["note"])
    except Problem as problem:
        messages.error(request, " ".join([problem.detail, *(error.detail for error in problem.errors[:5])]))
        return
    page.log_change(request, workflow, f"Published version {version.number}.")
    messages.success(request, f"Version {version.number} of “{workflow.name}” is published.")


def _table(rows: Iterable[Mapping[str, Any]], **columns: str) -> Any:
    """A small table of texts; `columns` are names of fields by their titles."""
    cells = "<td>{}</td>" * len(columns)
    return format_html(
        '<div class="mesh-scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        format_html_join("", "<th>{}</th>", ((title,) for title in columns)),
        format_html_join(
            "", f"<tr>{cells}</tr>", ([row.get(name, "") for name in columns.values()] for row in rows)
        ),
    )
