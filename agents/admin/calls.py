"""The ledgers: every call of a model, every call of a tool."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from agents.models import Agent, ModelCall, ModelCallBody, Tool, ToolCall
from web.admin_site import (
    ChoicesDropdownFilter,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    display,
    link,
    link_column,
    pretty,
    state_column,
)


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
        "call_id__exact",
        "provider_request_id__exact",
    )
    search_help_text = "The id of a model call, run, step, agent or phone call, or the vendor's, exactly."
    fields = (
        ("status", "failure", "http_status"),
        "message",
        ("provider", "model", "requested_model"),
        ("run", "step", "agent"),
        ("phone_call", "turn", "try_number", "chain_pass"),
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
    phone_call = link_column("call_id", "voice.phonecall", "Phone call")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelCall]:
        """Calls name their agent by a plain id, which outlives it."""
        named = Agent.objects.filter(pk=OuterRef("agent_id")).values("name")
        return super().get_queryset(request).annotate(agent_name=Subquery(named))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Links from runs, steps, agents and phone calls narrow the list by plain ids."""
        plain = {"run_id", "step_id", "agent_id", "call_id"}
        return lookup.removesuffix("__exact") in plain or super().lookup_allowed(lookup, value, request)

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


@admin.register(ToolCall)
class ToolCallAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "name",
        "status",
        "tool",
        "run",
        "step",
        "place",
        "error_code",
        "took",
        "started_at",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("name", FieldTextFilter),
        ("error_code", FieldTextFilter),
        ("started_at", RangeDateTimeFilter),
    )
    search_fields = (
        "id__exact",
        "run_id__exact",
        "step_id__exact",
        "tool_id__exact",
        "call_id__exact",
        "idempotency_key__exact",
    )
    ordering = ("-id",)
    search_help_text = "The id of a tool call, run, step, tool or phone call, or an idempotency key, exactly."
    fields = (
        ("name", "status", "tool"),
        ("error_code", "error_detail"),
        ("run", "step", "agent", "phone_call"),
        ("turn", "index", "idempotency_key"),
        ("started_at", "finished_at", "took"),
        "arguments_",
        "output_",
    )

    status = state_column()
    tool = link_column("tool_id", "agents.tool", "Tool", "tool_name")
    run = link_column("run_id", "tasks.run", "Run")
    step = link_column("step_id", "tasks.step", "Step")
    agent = link_column("agent_id", "agents.agent", "Agent", "agent_name")
    phone_call = link_column("call_id", "voice.phonecall", "Phone call")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ToolCall]:
        """Calls name their tool and agent by plain ids, which outlive them."""
        agents = Agent.objects.filter(pk=OuterRef("agent_id")).values("name")
        tools = Tool.objects.filter(pk=OuterRef("tool_id")).values("name")
        rows: QuerySet[ToolCall] = super().get_queryset(request)
        return rows.annotate(agent_name=Subquery(agents), tool_name=Subquery(tools))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        plain = {"run_id", "step_id", "tool_id", "call_id"}
        return lookup.removesuffix("__exact") in plain or super().lookup_allowed(lookup, value, request)

    @display(description="Call")
    def link(self, obj: ToolCall) -> Any:
        return link("agents.toolcall", obj.pk, obj.name)

    @display(description="Turn · place")
    def place(self, obj: ToolCall) -> str:
        return f"{obj.turn} · {obj.index}"

    @display(description="Took")
    def took(self, obj: ToolCall) -> str:
        return f"{(obj.finished_at - obj.started_at).total_seconds():.2f} s" if obj.finished_at else "–"

    @display(description="Arguments")
    def arguments_(self, obj: ToolCall) -> Any:
        return pretty(obj.arguments)

    @display(description="Result")
    def output_(self, obj: ToolCall) -> Any:
        return pretty(obj.output)


def _body(call: ModelCall) -> ModelCallBody:
    try:
        return call.body
    except ModelCallBody.DoesNotExist:
        return ModelCallBody(call=call)
