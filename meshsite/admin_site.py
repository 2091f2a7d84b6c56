"""The admin's menu and stylesheet, named in settings. The building blocks are in `web.admin_site`."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse


def _item(title: str, icon: str, name: str) -> dict[str, Any]:
    app, _, model = name.partition(".")
    permission = f"{app}.view_{model}"
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{app}_{model}_changelist"),
        "permission": lambda request: request.user.has_perm(permission),
    }


def _group(title: str, *items: dict[str, Any], collapsible: bool = False) -> dict[str, Any]:
    return {"title": title, "separator": True, "collapsible": collapsible, "items": list(items)}


def stylesheet(request: HttpRequest) -> str:
    """What the admin's own stylesheet lacks."""
    return static("meshsite/admin.css")


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu."""
    return [
        {"items": [{"title": "Dashboard", "icon": "monitoring", "link": reverse("admin:index")}]},
        _group(
            "Work",
            _item("Tasks", "task_alt", "tasks.task"),
            _item("Runs", "play_circle", "tasks.run"),
            _item("Approvals", "how_to_reg", "tasks.approval"),
            _item("Steps", "account_tree", "tasks.step"),
            _item("Workers", "memory", "tasks.worker"),
        ),
        _group(
            "Workflows",
            _item("Workflows", "schema", "workflows.workflow"),
            _item("Versions", "history", "workflows.workflowversion"),
            _item("Schedules", "schedule", "workflows.schedule"),
            _item("Triggers", "bolt", "workflows.trigger"),
            _item("Webhooks", "webhook", "tasks.webhookendpoint"),
        ),
        _group(
            "Networks",
            _item("Networks", "hub", "networks.network"),
            _item("Agents", "smart_toy", "agents.agent"),
            _item("Tools", "build", "agents.tool"),
            _item("Shared memory", "neurology", "memory.memoryitem"),
        ),
        _group(
            "Voice",
            _item("Phone calls", "call", "voice.phonecall"),
            _item("Telephone numbers", "dialpad", "voice.phonenumber"),
            _item("Sessions", "record_voice_over", "voice.voicesession"),
            _item("Voice processes", "settings_phone", "voice.voiceworker"),
        ),
        _group(
            "Models",
            _item("Model calls", "forum", "agents.modelcall"),
            _item("Catalogue", "menu_book", "agents.cataloguemodel"),
            _item("Provider credentials", "key", "agents.providercredential"),
        ),
        _group(
            "Access",
            _item("Projects", "domain", "networks.project"),
            _item("Members", "badge", "networks.member"),
            _item("API keys", "vpn_key", "networks.apikey"),
            _item("Users", "person", "auth.user"),
            _item("Groups", "group", "auth.group"),
        ),
        _group(
            "Records",
            _item("Events", "receipt_long", "tasks.event"),
            _item("Attempts", "repeat", "tasks.attempt"),
            _item("Tool calls", "construction", "agents.toolcall"),
            _item("Webhook deliveries", "outbox", "tasks.webhookdelivery"),
            _item("Letters", "mail", "tasks.approvalmail"),
            _item("Turns of calls", "chat", "voice.turn"),
            _item("Events of calls", "receipt", "voice.callevent"),
            _item("Kept answers", "replay", "web.idempotencyrecord"),
            collapsible=True,
        ),
    ]
