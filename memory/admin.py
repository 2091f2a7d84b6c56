"""Staff pages of the shared memory, with where each item came from."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from web.admin_site import (
    BaseDataset,
    ChoicesDropdownFilter,
    FieldTextFilter,
    ReadOnlyAdmin,
    badge,
    display,
    link_column,
    pretty,
    state_column,
)

from .models import MemoryItem, MemoryRevision


class RevisionRows(ReadOnlyAdmin):
    list_display = ("version", "type", "content", "confidence", "changed_by", "changed_at")
    list_display_links = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[MemoryRevision]:
        return super().get_queryset(request).filter(item_id=self.extra_context["object"])


class Revisions(BaseDataset):
    model = MemoryRevision
    model_admin = RevisionRows
    tab = True


@admin.register(MemoryItem)
class MemoryItemAdmin(ReadOnlyAdmin):
    """Read-only: the API and agents write memory, with revisions and events; a silent edit would bypass both."""

    list_display = ("summary", "id", "kind", "standing", "confidence", "network_", "source_", "created_at")
    list_filter = (
        ("type", ChoicesDropdownFilter),
        ("source", ChoicesDropdownFilter),
        "trusted",
        ("network__name", FieldTextFilter),
    )
    list_select_related = ("network",)
    search_fields = ("id__exact", "network__id__exact", "source_run_id__exact", "source_step_id__exact")
    search_help_text = "The id of an item, network, run or step, exactly."
    fields = (
        "content",
        ("kind", "standing", "confidence", "trusted"),
        ("network_", "source_"),
        ("run", "step", "agent", "key"),
        ("replaces", "superseded_at", "expires_at"),
        ("version", "created_at", "updated_at"),
        "details",
    )
    change_form_datasets = (Revisions,)

    kind = state_column("type", "Type")
    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    run = link_column("source_run_id", "tasks.run", "Written in run")
    step = link_column("source_step_id", "tasks.step", "by step")
    agent = link_column("source_agent_id", "agents.agent", "by agent")
    key = link_column("source_key_id", "networks.apikey", "with key")
    replaces = link_column("supersedes_id", "memory.memoryitem", "Supersedes")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup.removesuffix("__exact") in {
            "source_run_id",
            "source_step_id",
        } or super().lookup_allowed(lookup, value, request)

    @display(description="Content")
    def summary(self, obj: MemoryItem) -> str:
        return obj.content[:80] + ("…" if len(obj.content) > 80 else "")

    @display(description="Standing")
    def standing(self, obj: MemoryItem) -> str:
        if obj.superseded_at:
            return badge("superseded")
        return badge("expired" if obj.expires_at and obj.expires_at <= timezone.now() else "live")

    @display(description="Source")
    def source_(self, obj: MemoryItem) -> str:
        return obj.source if obj.trusted else f"{obj.source}, untrusted"

    @display(description="Metadata")
    def details(self, obj: MemoryItem) -> Any:
        return pretty(obj.metadata)
