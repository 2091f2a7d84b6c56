"""Every endpoint of the API, with a request that is right. `test_it_covers_every_endpoint` keeps it whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

NETWORK = "api/mesh/networks/<str:network_id>"
TASK = f"{NETWORK}/tasks/<str:task_id>"
AGENT = f"{NETWORK}/agents/<str:agent_id>"
MEMORY = f"{NETWORK}/memory/<str:memory_id>"
SESSIONS = "api/voice/sessions"
SESSION = f"{SESSIONS}/<str:session_id>"
CALL = "api/voice/calls/<str:call_id>"
NUMBER = "api/voice/numbers/<str:number_id>"

WEBHOOK = "api/webhooks/<str:webhook_id>"
WORKFLOW = "api/workflows/<str:workflow_id>"
TRIGGER = f"{WORKFLOW}/triggers/<str:trigger_id>"
SCHEDULE = "api/schedules/<str:schedule_id>"
RUN = "api/runs/<str:run_id>"
APPROVAL = "api/approvals/<str:approval_id>"
A_SCHEDULE = {"workflow_id": "{workflow_id}", "cron": "0 9 * * 1-5"}
A_GRAPH = {
    "nodes": [{"id": "start", "type": "start"}, {"id": "end", "type": "end"}],
    "edges": [{"id": "e", "from_node_id": "start", "to_node_id": "end"}],
}
A_DOCUMENT = {"format": "ai-mesh-workflow/1", "name": "Imported", "graph": A_GRAPH}
A_CALCULATOR = {"name": "sums", "type": "builtin", "config": {"function": "calculator"}}
A_TOOL = {
    "name": "weather",
    "type": "http",
    "config": {"url": "https://example.com/weather", "method": "GET"},
}
AN_AGENT = {"name": "SEO Specialist", "type": "seo"}


@dataclass(frozen=True)
class Endpoint:
    method: str
    route: str
    body: Any = None
    scope: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def needs(self) -> str:
        return self.scope or ("read" if self.method == "GET" else "write")

    @property
    def waits(self) -> bool:
        """Whether a coroutine serves it, whose threads see only what is committed."""
        return self.route.startswith("v1/") or self.route.endswith(("/webrtc", "/join", "/try"))

    @property
    def names_a_thing(self) -> bool:
        return "<" in self.route

    def request(self, ids: dict[str, str]) -> dict[str, Any]:
        """What the test client sends, with ids where the body names them."""
        if self.body is None:
            return {}
        body = {
            name: ids.get(value[1:-1], value) if isinstance(value, str) and value[:1] == "{" else value
            for name, value in self.body.items()
        }
        return {"data": body, "content_type": "application/json"}

    def path(self, ids: dict[str, str]) -> str:
        path = "/" + self.route
        verb = self.route.rpartition("/")[2]
        for name, value in ids.items():
            # A thing in the state that this verb needs, where there is one: `run_id/retry`.
            path = path.replace(f"<str:{name}>", ids.get(f"{name}/{verb}", value))
        assert "<" not in path, path
        return path


def each(endpoints: Iterable[Endpoint]) -> pytest.MarkDecorator:
    """Run a test for each of these, as its `endpoint`; those that wait see only what is committed."""
    committed = pytest.mark.django_db(transaction=True)
    return pytest.mark.parametrize(
        "endpoint", [pytest.param(e, id=str(e), marks=[committed] if e.waits else []) for e in endpoints]
    )


ENDPOINTS = [
    Endpoint("GET", "api/mesh/networks"),
    Endpoint("POST", "api/mesh/networks", {"name": "A network"}),
    Endpoint("GET", NETWORK),
    Endpoint("PATCH", NETWORK, {"name": "Another name"}),
    Endpoint("DELETE", NETWORK),
    Endpoint("GET", f"{NETWORK}/agents"),
    Endpoint("POST", f"{NETWORK}/agents", AN_AGENT),
    Endpoint("GET", AGENT),
    Endpoint("PATCH", AGENT, {"name": "Another name"}),
    Endpoint("DELETE", AGENT),
    Endpoint("GET", f"{NETWORK}/memory"),
    Endpoint("POST", f"{NETWORK}/memory", {"content": "The sky is blue."}),
    Endpoint("GET", MEMORY),
    Endpoint("PATCH", MEMORY, {"confidence": 0.5}),
    Endpoint("DELETE", MEMORY),
    Endpoint("GET", f"{NETWORK}/tasks"),
    Endpoint("POST", f"{NETWORK}/tasks", {"task": "Write something."}),
    Endpoint("GET", TASK),
    Endpoint("POST", f"{TASK}/process", {}),
    Endpoint("POST", f"{TASK}/cancel", {}),
    Endpoint("POST", f"{TASK}/retry", {}),
    Endpoint("POST", f"{TASK}/feedback", {"rating": 5}),
    Endpoint("GET", f"{TASK}/events"),
    Endpoint("GET", "api/projects"),
    Endpoint("GET", "api/projects/<str:project_id>"),
    Endpoint("PATCH", "api/projects/<str:project_id>", {"name": "Another name"}, scope="admin"),
    Endpoint("GET", "api/members", scope="admin"),
    Endpoint("POST", "api/members", {"email": "bob@example.com", "role": "approver"}, scope="admin"),
    Endpoint("GET", "api/members/<str:member_id>", scope="admin"),
    Endpoint("PATCH", "api/members/<str:member_id>", {"role": "editor"}, scope="admin"),
    Endpoint("DELETE", "api/members/<str:member_id>", scope="admin"),
    Endpoint("GET", "api/agents"),
    Endpoint("POST", "api/agents", {"name": "Copywriter"}),
    Endpoint("GET", "api/agents/<str:agent_id>"),
    Endpoint("PATCH", "api/agents/<str:agent_id>", {"name": "Another name"}),
    Endpoint("DELETE", "api/agents/<str:agent_id>"),
    Endpoint("GET", "api/tools"),
    Endpoint("POST", "api/tools", {**A_TOOL, "name": "another"}),
    Endpoint("GET", "api/tools/<str:tool_id>"),
    Endpoint("PUT", "api/tools/<str:tool_id>", A_TOOL),
    Endpoint("PATCH", "api/tools/<str:tool_id>", {"description": "Better."}),
    Endpoint("DELETE", "api/tools/<str:tool_id>"),
    Endpoint("POST", "api/tools/<str:tool_id>/try", {"arguments": {"expression": "1 + 1"}}),
    Endpoint("GET", "api/workflows"),
    Endpoint("POST", "api/workflows", {"name": "Another workflow"}),
    Endpoint("POST", "api/workflows/import", {"document": A_DOCUMENT}),
    Endpoint("GET", WORKFLOW),
    Endpoint("PUT", WORKFLOW, {"name": "Another name"}, headers={"If-Match": '"1"'}),
    Endpoint("PATCH", WORKFLOW, {"name": "Another name"}),
    Endpoint("DELETE", WORKFLOW),
    Endpoint("POST", f"{WORKFLOW}/validate", {}),
    Endpoint("POST", f"{WORKFLOW}/publish", {}),
    Endpoint("GET", f"{WORKFLOW}/export"),
    Endpoint("GET", f"{WORKFLOW}/versions"),
    Endpoint("GET", f"{WORKFLOW}/versions/<str:number>"),
    Endpoint("GET", f"{WORKFLOW}/versions/<str:number>/diff/<str:other>"),
    Endpoint("GET", f"{WORKFLOW}/triggers", scope="admin"),
    Endpoint("POST", f"{WORKFLOW}/triggers", {"name": "Shop"}, scope="admin"),
    Endpoint("GET", TRIGGER, scope="admin"),
    Endpoint("PATCH", TRIGGER, {"active": False}, scope="admin"),
    Endpoint("DELETE", TRIGGER, scope="admin"),
    Endpoint("POST", f"{TRIGGER}/rotate", {}, scope="admin"),
    Endpoint("GET", f"{WORKFLOW}/runs"),
    Endpoint("POST", f"{WORKFLOW}/runs", {"input": {}}),
    Endpoint("GET", "api/runs"),
    Endpoint("GET", RUN),
    Endpoint("GET", f"{RUN}/events"),
    Endpoint("POST", f"{RUN}/cancel", {}),
    Endpoint("POST", f"{RUN}/retry", {}),
    Endpoint("GET", f"{RUN}/compare/<str:other_run>"),
    Endpoint("GET", "api/approvals"),
    Endpoint("GET", APPROVAL),
    Endpoint("POST", f"{APPROVAL}/approve", {}),
    Endpoint("POST", f"{APPROVAL}/reject", {}),
    Endpoint("POST", f"{APPROVAL}/reassign", {"approvers": ["owner"]}),
    Endpoint("POST", f"{APPROVAL}/comment", {"text": "Who wrote this?"}),
    Endpoint("POST", "api/steps/<str:step_id>/human-complete", {}),
    Endpoint("GET", "api/schedules"),
    Endpoint("POST", "api/schedules", A_SCHEDULE),
    Endpoint("GET", SCHEDULE),
    Endpoint("PUT", SCHEDULE, A_SCHEDULE),
    Endpoint("PATCH", SCHEDULE, {"active": False}),
    Endpoint("DELETE", SCHEDULE),
    Endpoint("GET", "api/webhooks", scope="admin"),
    Endpoint("POST", "api/webhooks", {"url": "https://example.com/hook"}, scope="admin"),
    Endpoint("GET", WEBHOOK, scope="admin"),
    Endpoint("PATCH", WEBHOOK, {"description": "Ours."}, scope="admin"),
    Endpoint("DELETE", WEBHOOK, scope="admin"),
    Endpoint("POST", f"{WEBHOOK}/rotate-secret", {}, scope="admin"),
    Endpoint("POST", f"{WEBHOOK}/test", {}, scope="admin"),
    Endpoint("GET", f"{WEBHOOK}/deliveries", scope="admin"),
    Endpoint("POST", f"{WEBHOOK}/deliveries/<str:delivery_id>/redeliver", {}, scope="admin"),
    Endpoint("GET", "api/keys", scope="admin"),
    Endpoint("POST", "api/keys", {"name": "Another key"}, scope="admin"),
    Endpoint("GET", "api/keys/<str:key_id>", scope="admin"),
    Endpoint("PATCH", "api/keys/<str:key_id>", {"name": "Another name"}, scope="admin"),
    Endpoint("DELETE", "api/keys/<str:key_id>", scope="admin"),
    Endpoint("POST", "api/keys/<str:key_id>/rotate", {}, scope="admin"),
    Endpoint("POST", f"{SESSIONS}/with-config", {}, scope="voice"),
    Endpoint("POST", "sessions/with-config", {}, scope="voice"),
    Endpoint("POST", "api/sessions", {}, scope="voice"),
    Endpoint("POST", f"{SESSIONS}/validate", {}, scope="voice"),
    Endpoint("POST", f"{SESSIONS}/cleanup", {}, scope="voice"),
    Endpoint("GET", SESSIONS, scope="voice"),
    Endpoint("GET", SESSION, scope="voice"),
    Endpoint("DELETE", SESSION, scope="voice"),
    Endpoint("GET", f"{SESSION}/config", scope="voice"),
    Endpoint("PUT", f"{SESSION}/config", {"system_prompt": "Be brief."}, scope="voice"),
    Endpoint("GET", f"{SESSION}/ttl", scope="voice"),
    Endpoint("POST", f"{SESSION}/ttl", {"ttl_seconds": 60}, scope="voice"),
    Endpoint("POST", f"{SESSION}/webrtc", {"sdp": "v=0", "type": "offer"}, scope="voice"),
    Endpoint("POST", f"{SESSION}/join", {}, scope="voice"),
    Endpoint("GET", "api/voice/calls", scope="voice"),
    Endpoint("POST", "api/voice/calls", {"to": "+15005550002", "network_id": "{network_id}"}, scope="voice"),
    Endpoint("GET", CALL, scope="voice"),
    Endpoint("GET", f"{CALL}/events", scope="voice"),
    Endpoint("GET", f"{CALL}/recording", scope="voice", answer="audio/wav"),
    Endpoint("GET", "api/voice/numbers", scope="voice"),
    Endpoint("POST", "api/voice/numbers", {"number": "+15005550009"}, scope="voice"),
    Endpoint("GET", NUMBER, scope="voice"),
    Endpoint("PATCH", NUMBER, {"label": "Support"}, scope="voice"),
    Endpoint("DELETE", NUMBER, scope="voice"),
    Endpoint("POST", "v1/respond", {"utterance": "Hello.", "network_id": "{network_id}"}, scope="voice"),
    Endpoint("POST", "v1/synthesize", {"text": "Hello."}, scope="voice"),
]

#: Addresses under /api that need no key.
PUBLIC = {"api/mesh/health", "api/schema", "api/docs", "api/redoc", "api/hooks/<str:token>"}


#: What no key of a project may do; tests/api/test_projects.py has it.
ABOVE_PROJECTS = {("POST", "api/projects"), ("DELETE", "api/projects/<str:project_id>")}


def served_endpoints() -> set[tuple[str, str]]:
    """What the URLconf really serves to keys."""
    found = set()
    for route, callback in _walk(get_resolver().url_patterns):
        if route.startswith(("api/", "v1/", "sessions/")) and route not in PUBLIC:
            view = callback.cls(**callback.initkwargs)
            found |= {(method, route) for method in view.allowed_methods if method not in ("HEAD", "OPTIONS")}
    return found


def _walk(patterns: list[Any], prefix: str = "") -> Any:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback
