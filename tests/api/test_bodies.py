"""Bad bodies are a clear 4xx that names the place, at every endpoint that takes one."""

import json
from typing import Any

import pytest

from networks.models import Network

from .conftest import Caller
from .endpoints import ENDPOINTS, Endpoint, each
from .test_tenancy import ids  # noqa: F401  (a fixture)

taking_a_body = each(e for e in ENDPOINTS if e.body is not None)

MALFORMED = {
    "cut": (b'{"name": "x', 400, "malformed_json"),
    "not utf-8": (b'{"name": "\xff"}', 400, "malformed_json"),
    "two values": (b"{} {}", 400, "malformed_json"),
    "a very long integer": (b"[" + b"9" * 5000 + b"]", 400, "bad_json"),
    "deep": (b"[" * 100_000, 400, "bad_json"),
    "deep and closed": (b'{"a":' * 65 + b"1" + b"}" * 65, 400, "bad_json"),
    "large": (b'{"name": "' + b"x" * (1024 * 1024) + b'"}', 413, "body_too_large"),
    "a list": (b"[]", 422, "validation_failed"),
    "a string": (b'"name"', 422, "validation_failed"),
    "null": (b"null", 422, "validation_failed"),
}
BAD_VALUES = {
    "nul": ('"a\\u0000b"', "bad_character"),
    "lone surrogate": ('"\\ud800"', "bad_character"),
    "nan": ("NaN", "bad_number"),
    "infinity": ("-Infinity", "bad_number"),
    "overflow": ("1e999", "bad_number"),
    "huge integer": ("9" * 40, "bad_number"),
}


@taking_a_body
@pytest.mark.parametrize("kind", MALFORMED)
def test_it_refuses_what_is_not_a_json_object(
    owner: Caller,
    ids: dict[str, str],  # noqa: F811
    endpoint: Endpoint,
    kind: str,
) -> None:
    raw, status, code = MALFORMED[kind]
    response = owner.send(endpoint.method, endpoint.path(ids), raw)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"


@taking_a_body
@pytest.mark.parametrize("kind", BAD_VALUES)
def test_it_names_the_place_of_a_value_that_cannot_be_kept(
    owner: Caller,
    ids: dict[str, str],  # noqa: F811
    endpoint: Endpoint,
    kind: str,
) -> None:
    text, code = BAD_VALUES[kind]
    response = owner.send(endpoint.method, endpoint.path(ids), f'{{"a/b": [{{"c": {text}}}]}}'.encode())
    assert response.status_code == 400
    assert [(e["pointer"], e["code"]) for e in response.json()["errors"]] == [("/a~1b/0/c", code)]


@taking_a_body
def test_it_names_an_unknown_field(
    owner: Caller,
    ids: dict[str, str],  # noqa: F811
    endpoint: Endpoint,
) -> None:
    raw = json.dumps({**endpoint.body, "nonsense": 1}).encode()
    response = owner.send(endpoint.method, endpoint.path(ids), raw)
    assert response.status_code == 422
    assert [(e["pointer"], e["code"]) for e in response.json()["errors"]] == [("/nonsense", "unknown_field")]


@taking_a_body
def test_it_takes_nothing_but_json(
    owner: Caller,
    ids: dict[str, str],  # noqa: F811
    endpoint: Endpoint,
) -> None:
    response = owner.send(endpoint.method, endpoint.path(ids), b"name=x", "application/x-www-form-urlencoded")
    assert response.status_code == 415


def test_it_names_a_repeated_member(owner: Caller, db: None) -> None:
    response = owner.send("POST", "/api/mesh/networks", b'{"name": "abc", "name": "abd"}')
    assert response.json()["errors"][0] == {
        "pointer": "/name",
        "code": "repeated_member",
        "detail": "Given more than once.",
    }


WRONG: list[tuple[str, Any, str]] = [
    ("networks", {"name": 5}, "/name"),
    ("networks", {"name": "ab"}, "/name"),
    ("networks", {"name": "   a   "}, "/name"),
    ("networks", {"name": "x" * 101}, "/name"),
    ("networks", {"name": "abc", "description": "x" * 1001}, "/description"),
    ("networks", {"name": "abc", "max_iterations": "5"}, "/max_iterations"),
    ("networks", {"name": "abc", "max_iterations": True}, "/max_iterations"),
    ("networks", {"name": "abc", "max_iterations": 5.5}, "/max_iterations"),
    ("networks", {"name": "abc", "max_iterations": 0}, "/max_iterations"),
    ("networks", {"name": "abc", "timeout_seconds": None}, "/timeout_seconds"),
    ("networks", {"name": "abc", "budget": 0}, "/budget"),
    ("networks", {"name": "abc", "budget": "1"}, "/budget"),
    ("networks", {"name": "abc", "shared_context": []}, "/shared_context"),
    ("networks", {"name": "abc", "chain": ["no-such-model"]}, "/chain/0"),
    ("networks", {"name": "abc", "agents": {"name": "x"}}, "/agents"),
    ("networks", {"name": "abc", "agents": [{"name": "x"}]}, "/agents/0/type"),
    ("networks", {"name": "abc", "agents": [{"agent_config": {"name": "x"}}]}, "/agents/0/agent_config/type"),
    ("agents", {"name": "x", "type": "y", "parameters": {"temperature": 2.1}}, "/parameters/temperature"),
    ("agents", {"name": "x", "type": "y", "parameters": {"max_tokens": 0}}, "/parameters/max_tokens"),
    ("agents", {"name": "x", "type": "y", "parameters": {"top_p": "1"}}, "/parameters/top_p"),
    ("agents", {"name": "x", "type": "y", "parameters": {"magic": 1}}, "/parameters/magic"),
    ("agents", {"name": "x", "type": "y", "capabilities": ["a", 5]}, "/capabilities/1"),
    ("agents", {"name": "x", "type": "y", "model": "no-such-model"}, "/model"),
    ("agents", {"name": "x", "type": "coordinator"}, "/type"),
    ("tasks", {"task": "abcd"}, "/task"),
    ("tasks", {"task": "x" * 5001}, "/task"),
    ("tasks", {"task": ["abcde"]}, "/task"),
    ("tasks", {"task": "abcde", "priority": 11}, "/priority"),
    ("tasks", {"task": "abcde", "process": "yes"}, "/process"),
    ("tasks", {"task": "abcde", "context": "none"}, "/context"),
    ("tasks", {"task": "abcde", "deadline": "2001-01-01T00:00:00Z"}, "/deadline"),
    ("tasks", {"task": "abcde", "deadline": "tomorrow"}, "/deadline"),
    ("tasks", {"task": "abcde", "deadline": 1}, "/deadline"),
    ("tasks", {"task": "abcde", "output_schema": {"type": "objekt"}}, "/output_schema/type"),
    ("tasks", {"task": "abcde", "output_schema": {"properties": {"a": 5}}}, "/output_schema/properties/a"),
    ("tasks", {"task": "abcde", "output_schema": {"pattern": "("}}, "/output_schema/pattern"),
    ("tasks", {"task": "abcde", "output_schema": {"$ref": "https://example.com/x"}}, "/output_schema"),
    ("memory", {"content": ""}, "/content"),
    ("memory", {"content": "x", "memory_type": "rumour"}, "/memory_type"),
    ("memory", {"content": "x", "memory_type": "fact", "type": "context"}, "/type"),
    ("memory", {"content": "x", "confidence": 1.01}, "/confidence"),
    ("memory", {"content": "x", "confidence": "1"}, "/confidence"),
    ("agents", {"name": "x", "type": "y", "tools": ["tool_nobody"]}, "/tools/0"),
    ("memory", {"content": "x", "ttl": 0}, "/ttl"),
    ("memory", {"content": "x", "ttl": 10**12}, "/ttl"),
    ("memory", {"content": "x", "supersedes": "memory_nonsense"}, "/supersedes"),
]


@pytest.mark.parametrize(("where", "body", "pointer"), WRONG)
def test_it_names_the_field_that_is_wrong(
    owner: Caller, network: Network, base: str, where: str, body: Any, pointer: str
) -> None:
    response = owner.post("/api/mesh/networks" if where == "networks" else f"{base}/{where}", body)
    assert response.status_code == 422, response.content
    assert pointer in [error["pointer"] for error in response.json()["errors"]]


NOT_AVAILABLE: list[tuple[str, str, Any, str]] = [
    ("POST", "/tasks", {"task": "abcde", "webhook_url": "https://example.com"}, "/webhook_url"),
    ("GET", "/memory?search_mode=semantic&query=x", None, "/query/search_mode"),
    ("GET", "/memory?search_mode=hybrid&query=x", None, "/query/search_mode"),
]


@pytest.mark.parametrize(("method", "path", "body", "pointer"), NOT_AVAILABLE)
def test_it_says_what_is_not_available_yet(
    owner: Caller, base: str, method: str, path: str, body: Any, pointer: str
) -> None:
    response = owner.get(base + path) if method == "GET" else owner.post(base + path, body)
    assert (response.status_code, response.json()["code"]) == (422, "not_available")
    assert response.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("offset=-1", "offset"),
        ("cursor=%21%21", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("state=failed", "state"),
        ("status=done", "status"),
        ("limit=5&limit=6", "limit"),
    ],
)
def test_it_names_the_query_parameter_that_is_wrong(owner: Caller, base: str, query: str, name: str) -> None:
    response = owner.get(f"{base}/tasks?{query}")
    assert response.status_code == 422
    assert f"/query/{name}" in [error["pointer"] for error in response.json()["errors"]]


@pytest.mark.parametrize("path", ["/memory?query=%00", "/tasks/task%00", "/tasks?cursor=AAAA%00"])
def test_it_lets_no_nul_through_an_address(owner: Caller, base: str, path: str) -> None:
    assert owner.get(base + path).status_code in (400, 404)
