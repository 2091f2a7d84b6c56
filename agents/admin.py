"""Staff pages of agents, the model catalogue, provider credentials and the ledger of model calls."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone

from web.admin_site import (
    ChoicesDropdownFilter,
    ConfigurationAdmin,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    StaffAdmin,
    UnfoldAdminPasswordWidget,
    badge,
    display,
    link,
    link_column,
    list_link,
    pretty,
    state_column,
)

from . import crypto
from .models import Agent, CatalogueModel, ModelCall, ModelCallBody, ProviderCredential

RETIREMENT_NOTICE = timedelta(days=60)


@admin.register(Agent)
class AgentAdmin(ConfigurationAdmin):
    list_display = ("name", "id", "kind", "model_", "network_", "project_", "calls")
    list_filter = (("type", FieldTextFilter), ("model", FieldTextFilter), ("network__name", FieldTextFilter))
    list_select_related = ("network", "project")
    search_fields = ("id__exact", "network__id__exact", "name")
    search_help_text = "An id of an agent or network, or a part of a name."
    autocomplete_fields = ("project", "network")
    readonly_fields = ("id", "calls", "created_at", "updated_at")

    kind = state_column("type", "Type")
    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    @display(description="Model", empty_value="first of the chain")
    def model_(self, obj: Agent) -> str | None:
        return obj.model or None

    @display(description="See")
    def calls(self, obj: Agent) -> Any:
        return list_link("agents.modelcall", "model calls", agent_id__exact=obj.pk)


@admin.register(CatalogueModel)
class CatalogueModelAdmin(ConfigurationAdmin):
    list_display = ("id", "provider", "tier", "lifecycle", "retires_on", "alias_list", "price")
    list_filter = (("provider", FieldTextFilter), ("tier", FieldTextFilter))
    search_fields = ("id", "provider")
    readonly_fields = ("lifecycle", "updated_at")

    @display(
        description="Lifecycle",
        label={"available": "success", "retired": "danger", "retires soon": "warning"},
    )
    def lifecycle(self, obj: CatalogueModel) -> str:
        today = timezone.localdate()
        if obj.retires_on is None or obj.retires_on > today + RETIREMENT_NOTICE:
            return badge("available")
        return badge("retires soon" if obj.retires_on > today else "retired")

    @display(description="Aliases")
    def alias_list(self, obj: CatalogueModel) -> str:
        return ", ".join(obj.aliases) or "–"

    @display(description="$ per million, in / out")
    def price(self, obj: CatalogueModel) -> str:
        return f"{obj.prices.get('input', '–')} / {obj.prices.get('output', '–')}"


class CredentialForm(forms.ModelForm):
    """Takes a key and never gives it back: the field is always empty, and empty keeps what is stored."""

    key = forms.CharField(
        label="API key",
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown. Empty keeps the present one.",
    )

    class Meta:
        model = ProviderCredential
        fields = ("project", "provider", "base_url")

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"]
        if not key and self.instance._state.adding:
            raise forms.ValidationError("A new credential needs its key.")
        return key

    def save(self, commit: bool = True) -> ProviderCredential:
        if key := self.cleaned_data["key"]:
            self.instance.encrypted_key = crypto.encrypt(key)
        saved: ProviderCredential = super().save(commit)
        return saved


@admin.register(ProviderCredential)
class ProviderCredentialAdmin(StaffAdmin):
    form = CredentialForm
    list_display = ("id", "provider", "project_", "base_url", "updated_at")
    list_filter = (("provider", FieldTextFilter),)
    list_select_related = ("project",)
    search_fields = ("id__exact", "project__id__exact", "provider")
    autocomplete_fields = ("project",)

    project_ = link_column("project_id", "networks.project", "Project", "project.name")


@admin.register(ModelCall)
class ModelCallAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "status",
        "provider",
        "model",
        "run",
        "step",
        "turn_and_try",
        "tokens",
        "money",
        "latency",
        "started_at",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("provider", FieldTextFilter),
        ("model", FieldTextFilter),
        ("failure", FieldTextFilter),
        ("started_at", RangeDateTimeFilter),
    )
    search_fields = (
        "id__exact",
        "run_id__exact",
        "step_id__exact",
        "agent_id__exact",
        "provider_request_id__exact",
    )
    search_help_text = "The id of a call, run, step or agent, or the vendor's request id, exactly."
    fields = (
        ("status", "failure", "http_status"),
        "message",
        ("provider", "model", "requested_model"),
        ("run", "step", "agent"),
        ("turn", "try_number", "chain_pass"),
        ("input_tokens", "output_tokens", "cached_tokens"),
        ("cost", "reserved"),
        ("latency_ms", "first_token_ms"),
        ("started_at", "finished_at"),
        "provider_request_id",
        "sent",
        "received",
    )

    status = state_column()
    run = link_column("run_id", "tasks.run", "Run")
    step = link_column("step_id", "tasks.step", "Step")
    agent = link_column("agent_id", "agents.agent", "Agent", "agent_name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelCall]:
        """Calls name their agent by a plain id, which outlives it."""
        named = Agent.objects.filter(pk=OuterRef("agent_id")).values("name")
        return super().get_queryset(request).annotate(agent_name=Subquery(named))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Links from runs, steps and agents narrow the list by plain ids."""
        return lookup.removesuffix("__exact") in {"run_id", "step_id", "agent_id"} or super().lookup_allowed(
            lookup, value, request
        )

    @display(description="Call")
    def link(self, obj: ModelCall) -> Any:
        return link("agents.modelcall", obj.pk)

    @display(description="Turn · try")
    def turn_and_try(self, obj: ModelCall) -> str:
        return f"{obj.turn} · {obj.try_number}"

    @display(description="Tokens in / out")
    def tokens(self, obj: ModelCall) -> str:
        return f"{obj.input_tokens:,} / {obj.output_tokens:,}"

    @display(description="Cost")
    def money(self, obj: ModelCall) -> str:
        return f"${obj.cost:.4f}"

    @display(description="Latency")
    def latency(self, obj: ModelCall) -> str:
        return "–" if obj.latency_ms is None else f"{obj.latency_ms:,.0f} ms"

    @display(description="Request")
    def sent(self, obj: ModelCall) -> Any:
        return pretty(_body(obj).request)

    @display(description="Reply")
    def received(self, obj: ModelCall) -> Any:
        return pretty(_body(obj).reply)


def _body(call: ModelCall) -> ModelCallBody:
    try:
        return call.body
    except ModelCallBody.DoesNotExist:
        return ModelCallBody(call=call)
