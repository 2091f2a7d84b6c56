"""Tools over HTTP: what is taken, what is refused, and that secrets never come back."""

from typing import Any

import pytest

from agents.models import Tool, ToolCall
from agents.tool_services import secrets_of

from .conftest import Caller, make_caller
from .endpoints import A_CALCULATOR

AN_HTTP_TOOL = {
    "name": "crm",
    "type": "http",
    "config": {
        "method": "POST",
        "url": "https://crm.example.com/contacts/{id}",
        "auth": {"type": "bearer", "token": "{secret:token}"},
    },
    "input_schema": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    "secrets": {"token": "s3cret-value"},
}


def test_it_keeps_secrets_encrypted_and_shows_their_names_only(owner: Caller) -> None:
    made = owner.post("/api/tools", AN_HTTP_TOOL)
    assert made.status_code == 201, made.content
    assert made.json()["secrets"] == ["token"]
    assert b"s3cret" not in made.content
    tool = Tool.objects.get(pk=made.json()["id"])
    assert b"s3cret" not in bytes(tool.encrypted_secrets or b"")
    assert secrets_of(tool) == {"token": "s3cret-value"}
    changed = owner.patch(f"/api/tools/{tool.pk}", {"secrets": {"other": "x", "token": None}})
    assert changed.json()["secrets"] == ["other"]


def test_a_builtin_brings_its_own_schemas(owner: Caller) -> None:
    made = owner.post(
        "/api/tools", {"name": "calc", "type": "builtin", "config": {"function": "calculator"}}
    ).json()
    assert made["input_schema"]["required"] == ["expression"]
    assert made["effect"] == "read_only"
    assert made["description"]


def test_it_accepts_camel_case(owner: Caller) -> None:
    body = {
        "name": "w",
        "type": "http",
        "config": {"url": "https://example.com"},
        "inputSchema": {"type": "object"},
    }
    assert owner.post("/api/tools", body).json()["input_schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": "two words"}, "/name"),
        ({"type": "magic"}, "/type"),
        ({"type": "mcp"}, "/config"),
        ({"type": "mcp", "config": {"tool": "x", "url": "file:///etc/passwd"}}, "/config/url"),
        ({"type": "mcp", "config": {"tool": "x", "url": "https://a.example", "command": "sh"}}, "/config"),
        ({"config": {}}, "/config"),
        ({"config": {"url": "ftp://example.com"}}, "/config/url"),
        ({"config": {"url": "https://{host}/x"}}, "/config/url"),
        ({"config": {"url": "https://me:pw@example.com/"}}, "/config/url"),
        ({"config": {"url": "https://example.com", "timeout_seconds": "5"}}, "/config/timeout_seconds"),
        ({"config": {"url": "https://example.com", "bogus": 1}}, "/config"),
        ({"type": "function", "config": {"function": "os.system"}}, "/config/function"),
        ({"type": "builtin", "config": {"function": "rm"}}, "/config/function"),
        ({"input_schema": {"type": "strin"}}, "/input_schema/type"),
        ({"input_schema": {"type": "array"}}, "/input_schema/type"),
        ({"output_schema": {"$ref": "http://169.254.169.254/"}}, "/output_schema"),
        ({"output_schema": {"type": "string", "pattern": "(a+)+"}}, "/output_schema"),
        ({"secrets": {"token": 5}}, "/secrets/token"),
        ({"bogus": 1}, "/bogus"),
    ],
)
def test_it_names_what_is_wrong(owner: Caller, changes: dict[str, Any], pointer: str) -> None:
    answer = owner.post("/api/tools", AN_HTTP_TOOL | changes)
    assert answer.status_code == 422, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_names_are_unique_in_a_project(owner: Caller, stranger: Caller) -> None:
    assert owner.post("/api/tools", AN_HTTP_TOOL).status_code == 201
    assert owner.post("/api/tools", AN_HTTP_TOOL).status_code == 409
    assert stranger.post("/api/tools", AN_HTTP_TOOL).status_code == 201


def test_a_restricted_key_sees_no_tools(owner: Caller, base: str) -> None:
    owner.post("/api/tools", AN_HTTP_TOOL)
    restricted = make_caller(owner.project, "write", "read", network_ids=[base.rsplit("/", 1)[1]])
    assert restricted.get("/api/tools").json() == []
    assert restricted.post("/api/tools", AN_HTTP_TOOL).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_it_tries_a_tool_and_writes_the_call_down(owner: Caller) -> None:
    tool = owner.post("/api/tools", A_CALCULATOR).json()["id"]
    tried = owner.post(f"/api/tools/{tool}/try", {"arguments": {"expression": "6 * 7"}})
    assert tried.status_code == 200, tried.content
    assert (tried.json()["ok"], tried.json()["output"]) == (True, {"value": 42})
    call = ToolCall.objects.get(pk=tried.json()["tool_call_id"])
    assert (call.tool_id, call.state, call.run_id) == (tool, "succeeded", None)
    failed = owner.post(f"/api/tools/{tool}/try", {"arguments": {"expression": "1 / 0"}}).json()
    assert (failed["ok"], failed["error"]["code"], failed["error"]["retryable"]) == (
        False,
        "bad_arguments",
        False,
    )


@pytest.mark.django_db(transaction=True)
def test_a_try_keeps_the_tools_rules(owner: Caller) -> None:
    """Its schema, its secrets and what may be reached."""
    values = AN_HTTP_TOOL | {"config": {"url": "http://169.254.169.254/{id}?key={secret:token}"}}
    tool = owner.post("/api/tools", values).json()["id"]
    wrong = owner.post(f"/api/tools/{tool}/try", {"arguments": {"id": 5}}).json()
    assert wrong["error"]["code"] == "bad_arguments"
    inside = owner.post(f"/api/tools/{tool}/try", {"arguments": {"id": "latest"}})
    assert inside.json()["error"]["code"] == "address_not_allowed"
    assert b"s3cret" not in inside.content
    assert owner.post(f"/api/tools/{tool}/try", {"arguments": []}).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_a_repeated_try_is_not_called_again(owner: Caller) -> None:
    tool = owner.post("/api/tools", A_CALCULATOR).json()["id"]
    once, again = (
        owner.post(f"/api/tools/{tool}/try", {"arguments": {"expression": "2"}}, **{"Idempotency-Key": "k-1"})
        for _ in range(2)
    )
    assert again.json() == once.json()
    assert ToolCall.objects.filter(tool_id=tool).count() == 1
