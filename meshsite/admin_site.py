"""How the admin looks: its name, its menu, its colours. The building blocks are in `web.admin_site`."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, name: str) -> dict[str, Any]:
    app, _, model = name.partition(".")
    permission = f"{app}.view_{model}"
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": lambda request: request.user.has_perm(permission),
    }


def _group(title: str, *items: dict[str, Any], collapsible: bool = False) -> dict[str, Any]:
    return {"title": title, "separator": True, "collapsible": collapsible, "items": list(items)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "AI Mesh Network",
    "SITE_HEADER": "AI Mesh Network",
    "SITE_SUBHEADER": "Staff and operators",
    "SITE_SYMBOL": "hub",
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "meshsite.dashboard.callback",
    "STYLES": [lambda request: static("meshsite/admin.css")],
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {"items": [{"title": "Dashboard", "icon": "monitoring", "link": reverse_lazy("admin:index")}]},
            _group(
                "Work",
                _item("Tasks", "task_alt", "tasks.task"),
                _item("Runs", "play_circle", "tasks.run"),
                _item("Steps", "account_tree", "tasks.step"),
                _item("Workers", "memory", "tasks.worker"),
            ),
            _group(
                "Networks",
                _item("Networks", "hub", "networks.network"),
                _item("Agents", "smart_toy", "agents.agent"),
                _item("Shared memory", "neurology", "memory.memoryitem"),
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
                _item("API keys", "vpn_key", "networks.apikey"),
                _item("Users", "person", "auth.user"),
                _item("Groups", "group", "auth.group"),
            ),
            _group(
                "Records",
                _item("Events", "receipt_long", "tasks.event"),
                _item("Attempts", "repeat", "tasks.attempt"),
                _item("Kept answers", "replay", "web.idempotencyrecord"),
                collapsible=True,
            ),
        ],
    },
}
