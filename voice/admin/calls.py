"""Phone calls: what was said, how fast and how well, on one page."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from agents.admin import ModelCallAdmin
from agents.models import ModelCall
from tasks.admin.steps import duration
from voice import slots
from voice.api.shapes import parties
from voice.models import CallEvent, PhoneCall, Turn
from voice.selectors import MAX_TURNS
from web.admin_site import (
    ActionVariant,
    ChoicesDropdownFilter,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    action,
    confirm,
    display,
    link,
    link_column,
    list_link,
    pretty,
    reload_page,
    state_column,
    tab,
)


@admin.register(Turn)
class TurnAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "call_",
        "number",
        "caller",
        "agent",
        "flags",
        "speed",
        "model",
        "money",
        "started_at",
    )
    list_filter = ("interrupted", "speculative", "note", ("started_at", RangeDateTimeFilter))
    search_fields = ("call__id__exact",)
    search_help_text = "The id of a call, exactly."
    ordering = ("-id",)
    fields = (
        ("call_", "number", "flags"),
        "caller_text",
        "reply_text",
        "heard_text",
        ("stt", "model", "tts"),
        ("money", "config_version", "started_at"),
        "latencies_",
        "error",
    )

    call_ = link_column("call_id", "voice.phonecall", "Call")

    @display(description="Caller said")
    def caller(self, obj: Turn) -> str:
        return _cut(obj.caller_text)

    @display(description="Caller heard")
    def agent(self, obj: Turn) -> str:
        return _cut(obj.heard_text)

    @display(description="Marks")
    def flags(self, obj: Turn) -> str:
        names = [name for name in ("interrupted", "speculative", "note") if getattr(obj, name)]
        return ", ".join([*names, "error"] if obj.error else names) or "–"

    @display(description="First sound")
    def speed(self, obj: Turn) -> str:
        first = obj.latencies.get("first_frame")
        return f"{first:.0f} ms" if isinstance(first, int | float) else "–"

    @display(description="Cost")
    def money(self, obj: Turn) -> str:
        return f"${obj.cost:.4f}"

    @display(description="Milliseconds after the caller's last sound")
    def latencies_(self, obj: Turn) -> Any:
        return pretty(obj.latencies)


@admin.register(CallEvent)
class CallEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "call_", "seq", "type", "at", "summary")
    list_filter = (("type", FieldTextFilter), ("at", RangeDateTimeFilter))
    search_fields = ("call__id__exact",)
    search_help_text = "The id of a call, exactly."
    ordering = ("-id",)
    fields = (("call_", "seq", "type"), "at", "body")

    call_ = link_column("call_id", "voice.phonecall", "Call")

    @display(description="Payload")
    def summary(self, obj: CallEvent) -> str:
        return _cut(", ".join(f"{name}: {value}" for name, value in obj.payload.items()), 120)

    @display(description="Payload")
    def body(self, obj: CallEvent) -> Any:
        return pretty(obj.payload)


@admin.register(PhoneCall)
class PhoneCallAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "status",
        "who",
        "direction",
        "transport",
        "network_",
        "took",
        "turn_count",
        "speed",
        "quality",
        "money",
        "created_at",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("direction", ChoicesDropdownFilter),
        ("transport", FieldTextFilter),
        ("end_reason", FieldTextFilter),
        ("network__name", FieldTextFilter),
        ("project__name", FieldTextFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("network",)
    search_fields = (
        "id__exact",
        "external_id__exact",
        "session_id__exact",
        "network__id__exact",
        "request_id__exact",
        "from_number__exact",
        "to_number__exact",
    )
    search_help_text = "The id of a call, session, network or request, the carrier's id or a number, exactly."
    fields = (
        ("status", "end_reason", "error"),
        ("who", "direction", "transport"),
        ("network_", "project_", "session_", "run_"),
        ("external_id", "worker_", "request_id"),
        ("created_at", "started_at", "ended_at"),
        ("took", "turn_count", "interruptions", "false_interruptions"),
        ("quality", "money", "related"),
        "conversation",
        "latencies_",
        "use_",
        "statistics_",
        "config_",
    )
    change_form_datasets = (
        tab(TurnAdmin, Turn, "call_id", "number", "caller", "agent", "flags", "speed", "model", "money", title="Turns"),
        tab(CallEventAdmin, CallEvent, "call_id", "seq", "type", "at", "summary", title="Events"),
        tab(
            ModelCallAdmin, ModelCall, "call_id",
            "link", "status", "model", "turn_and_try", "failure", "tokens", "money", "latency",
            title="Model calls",
        ),
    )  # fmt: skip
    actions_detail = ("end",)

    status = state_column()
    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")
    run_ = link_column("run_id", "tasks.run", "Run that leads it")

    @display(description="Session")
    def session_(self, obj: PhoneCall) -> Any:
        return list_link("voice.voicesession", obj.session_id, q=obj.session_id) if obj.session_id else "–"

    @display(description="Voice process")
    def worker_(self, obj: PhoneCall) -> Any:
        return list_link("voice.voiceworker", obj.worker, q=obj.worker) if obj.worker else "–"

    @display(description="Who")
    def who(self, obj: PhoneCall) -> str:
        caller, callee = parties(obj)
        return f"{caller or '–'} → {callee or '–'}"

    @display(description="Took")
    def took(self, obj: PhoneCall) -> str:
        return duration(obj.started_at, obj.ended_at)

    @display(description="First sound p50 / p95")
    def speed(self, obj: PhoneCall) -> str:
        stage = obj.latencies.get("first_frame")
        return f"{stage['p50']:.0f} / {stage['p95']:.0f} ms" if isinstance(stage, dict) else "–"

    @display(description="MOS (estimate)")
    def quality(self, obj: PhoneCall) -> str:
        return "–" if obj.mos is None else f"{obj.mos:.1f}"

    @display(description="Cost")
    def money(self, obj: PhoneCall) -> str:
        return f"${obj.cost:.4f}"

    @display(description="See all")
    def related(self, obj: PhoneCall) -> Any:
        return format_html(
            "{} · {} · {}",
            list_link("voice.turn", "turns", call__id__exact=obj.pk),
            list_link("voice.callevent", "events", call__id__exact=obj.pk),
            list_link("agents.modelcall", "model calls", call_id__exact=obj.pk),
        )

    @display(description="Conversation")
    def conversation(self, obj: PhoneCall) -> Any:
        """What was said; of the agent, what the caller heard."""
        lines = []
        for turn in obj.turns.order_by("number")[:MAX_TURNS]:
            lines.append(("Note" if turn.note else "Caller", turn.caller_text, ""))
            mark = " (interrupted)" if turn.interrupted else ""
            lines.append(("Agent", turn.heard_text, mark))
        said = [line for line in lines if line[1]]
        return format_html_join("", "<p><b>{}:</b> {}{}</p>", said) or "–"

    @display(description="Latencies, ms")
    def latencies_(self, obj: PhoneCall) -> Any:
        row = "<tr><td>{}&emsp;</td><td>{}&emsp;</td><td>{}&emsp;</td><td>{}</td></tr>"
        rows = [
            (stage, *(figures.get(name, "–") for name in ("p50", "p95", "p99")))
            for stage, figures in obj.latencies.items()
            if isinstance(figures, dict)
        ]
        return format_html("<table>{}</table>", format_html_join("", row, [("", "p50", "p95", "p99"), *rows]))

    @display(description="Speech services")
    def use_(self, obj: PhoneCall) -> Any:
        return pretty(obj.use)

    @display(description="Statistics")
    def statistics_(self, obj: PhoneCall) -> Any:
        return pretty(obj.statistics)

    @display(description="Config when it began")
    def config_(self, obj: PhoneCall) -> Any:
        return pretty(obj.config)

    @display(description="Call")
    def link(self, obj: PhoneCall) -> Any:
        return link("voice.phonecall", obj.pk)

    @action(
        description="End",
        icon="call_end",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=confirm("End this call?", "The caller is hung up within a second or two.", "End"),
    )
    def end(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        slots.ask_to_end(object_id, "cancelled")
        self.log_change(request, PhoneCall.objects.get(pk=object_id), "Asked to end.")
        messages.success(request, "The call is asked to end.")
        return reload_page(reverse("admin:voice_phonecall_change", args=[object_id]))


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
