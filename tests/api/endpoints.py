"""Every endpoint of the API, with a request that is right. `test_it_covers_every_endpoint` keeps it whole."""

from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

NETWORK = "api/mesh/networks/<str:network_id>"
TASK = f"{NETWORK}/tasks/<str:task_id>"
AGENT = f"{NETWORK}/agents/<str:agent_id>"
MEMORY = f"{NETWORK}/memory/<str:memory_id>"

AN_AGENT = {"name": "SEO Specialist", "type": "seo"}


@dataclass(frozen=True)
class Endpoint:
    method: str
    route: str
    body: Any = None
    scope: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def needs(self) -> str:
        return self.scope or ("read" if self.method == "GET" else "write")

    @property
    def names_a_thing(self) -> bool:
        return "<" in self.route

    def path(self, ids: dict[str, str]) -> str:
        path = "/" + self.route
        for name, value in ids.items():
            path = path.replace(f"<str:{name}>", value)
        assert "<" not in path, path
        return path


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
    Endpoint("GET", "api/keys", scope="admin"),
    Endpoint("POST", "api/keys", {"name": "Another key"}, scope="admin"),
    Endpoint("GET", "api/keys/<str:key_id>", scope="admin"),
    Endpoint("PATCH", "api/keys/<str:key_id>", {"name": "Another name"}, scope="admin"),
    Endpoint("DELETE", "api/keys/<str:key_id>", scope="admin"),
    Endpoint("POST", "api/keys/<str:key_id>/rotate", {}, scope="admin"),
]

#: Addresses under /api that need no key.
PUBLIC = {"api/mesh/health", "api/schema", "api/docs", "api/redoc"}


def served_endpoints() -> set[tuple[str, str]]:
    """What the URLconf really serves under /api."""
    found = set()
    for route, callback in _walk(get_resolver().url_patterns):
        if route.startswith("api/") and route not in PUBLIC:
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
