"""Configs that name a workflow: which are taken, which are refused, and how; what else may not run such a workflow."""

from typing import Any

import pytest

from networks.models import Network

from .conftest import Caller, make_caller
from .test_workflows import WORKFLOWS, address, graph, node
from .voice_world import make_call

pytestmark = pytest.mark.django_db

SESSIONS = "/api/voice/sessions/with-config"
NUMBERS = "/api/voice/numbers"


def dialog(**hand_over: Any) -> dict[str, Any]:
    return graph(
        node("hello", "say", config={"text": "Hello."}),
        node("which", "ask", config={"text": "Sales or help?", "choices": [{"value": "sales", "keys": "1"}]}),
        node("over", "hand_over", config={"to": "agent", **hand_over}),
    )


@pytest.fixture
def workflow(owner: Caller, network: Network) -> dict[str, Any]:
    return _made(owner, dialog())


def _made(owner: Caller, body: dict[str, Any], *, published: bool = True) -> dict[str, Any]:
    answer = owner.post(WORKFLOWS, {"name": "Dialog", "graph": body})
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    assert made["valid"], made["findings"]
    if published:
        assert owner.post(f"{address(made)}/publish", {}).status_code == 200
    return made


def found(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.content
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


def test_a_session_and_a_number_take_a_published_workflow(owner: Caller, workflow: dict[str, Any]) -> None:
    given = {"workflow_id": workflow["id"], "input": {"shop": "Kassel"}, "at_end": "agent"}
    session = owner.post(SESSIONS, {"dialog": given})
    assert session.status_code == 201, session.content
    shown = owner.get(f"/api/voice/sessions/{session.json()['session_id']}").json()["config"]["dialog"]
    assert shown == {**given, "on_failure": "agent"}
    changed = owner.put(f"/api/voice/sessions/{session.json()['session_id']}/config", {})
    assert changed.status_code == 200, changed.content
    assert "dialog" not in changed.json()["config"]
    number = owner.post(
        NUMBERS,
        {
            "number": "+15005550006",
            "network_id": workflow_network(owner),
            "config": {"dialog": {"workflow_id": workflow["id"]}},
        },
    )
    assert number.status_code == 201, number.content


def workflow_network(owner: Caller) -> str:
    id_: str = owner.get("/api/mesh/networks").json()[0]["id"]
    return id_


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, [("/dialog/workflow_id", "required")]),
        ([], [("/dialog", "not_an_object")]),
        ({"workflow_id": 5}, [("/dialog/workflow_id", "not_a_string")]),
        ({"workflow_id": "workflow_none"}, [("/dialog/workflow_id", "does_not_exist")]),
        (
            {"workflow_id": "{id}", "at_end": "sing", "loudly": True},
            [("/dialog/loudly", "unknown_field"), ("/dialog/at_end", "invalid_choice")],
        ),
        ({"workflow_id": "{id}", "on_failure": "person"}, [("/dialog/on_failure", "needs_transfer")]),
        ({"workflow_id": "{id}", "input": {"x": "x" * 20_000}}, [("/dialog/input", "too_long")]),
    ],
    ids=str,
)
def test_it_names_what_is_wrong_with_a_dialog(
    owner: Caller, workflow: dict[str, Any], given: Any, wrong: list[tuple[str, str]]
) -> None:
    if isinstance(given, dict) and given.get("workflow_id") == "{id}":
        given = {**given, "workflow_id": workflow["id"]}
    codes = found(owner.post(SESSIONS, {"dialog": given}))
    assert [at for at, _ in codes] == [at for at, _ in wrong]
    assert {code for _, code in wrong} - {"not_a_string", "invalid_choice"} <= {code for _, code in codes}


def test_a_workflow_must_be_published_and_of_the_project(
    owner: Caller, stranger: Caller, workflow: dict[str, Any]
) -> None:
    draft = _made(owner, dialog(), published=False)
    refused = found(owner.post(SESSIONS, {"dialog": {"workflow_id": draft["id"]}}))
    assert refused == [("/dialog/workflow_id", "not_published")]
    body = {"dialog": {"workflow_id": workflow["id"]}, "connectors": {"llm": {"primary": "rehearsal"}}}
    assert found(stranger.post(SESSIONS, body)) == [("/dialog/workflow_id", "does_not_exist")]
    number = {
        "number": "+15005550006",
        "network_id": workflow_network(owner),
        "config": {"dialog": {"workflow_id": draft["id"]}},
    }
    assert found(owner.post(NUMBERS, number)) == [("/config/dialog/workflow_id", "not_published")]


def test_a_key_of_some_networks_sees_no_workflow(
    owner: Caller, network: Network, workflow: dict[str, Any]
) -> None:
    restricted = make_caller(owner.project, "read", "write", "voice", network_ids=[network.pk])
    refused = found(restricted.post(SESSIONS, {"dialog": {"workflow_id": workflow["id"]}}))
    assert refused == [("/dialog/workflow_id", "does_not_exist")]


def test_places_that_a_workflow_names_must_be_in_the_config(owner: Caller, network: Network) -> None:
    made = _made(owner, dialog(to="person", target="front desk"))
    body = {"network_id": network.pk, "dialog": {"workflow_id": made["id"]}}
    assert found(owner.post(SESSIONS, body)) == [("/connectors/llm/config/transfer", "missing_destination")]
    llm = {"primary": "network", "config": {"transfer": {"front desk": "+15005550099"}}}
    assert owner.post(SESSIONS, {**body, "connectors": {"llm": llm}}).status_code == 201


def test_nothing_but_a_call_runs_it(owner: Caller, workflow: dict[str, Any]) -> None:
    for path, body in (
        (f"{address(workflow)}/runs", {"input": {}}),
        ("/api/schedules", {"workflow_id": workflow["id"], "cron": "0 3 * * *"}),
        (f"{address(workflow)}/triggers", {"name": "Hook"}),
    ):
        refused = owner.post(path, body)
        assert {code for _, code in found(refused)} == {"needs_a_caller"}, path
        assert refused.json()["code"] == "invalid_workflow"


def test_a_call_shows_the_run_that_led_it(owner: Caller, network: Network) -> None:
    call = make_call(network, run_id="run_1")
    assert owner.get(f"/api/voice/calls/{call.pk}").json()["run_id"] == "run_1"
    assert owner.get("/api/voice/calls").json()[0]["run_id"] == "run_1"


def test_dialogs_are_exported_imported_and_compared(owner: Caller, workflow: dict[str, Any]) -> None:
    document = owner.get(f"{address(workflow)}/export").json()
    imported = owner.post(f"{WORKFLOWS}/import", {"document": document})
    assert imported.status_code == 201, imported.content
    assert imported.json()["graph"] == workflow["graph"]
    changed = dialog()
    changed["nodes"][1]["config"]["text"] = "Good morning."
    assert owner.patch(address(workflow), {"graph": changed}).status_code == 200
    told = owner.get(f"{address(workflow)}/versions/1/diff/2").json()
    assert "hello" in str(told)


def test_the_schema_describes_dialogs(owner: Caller) -> None:
    schema = str(owner.get("/api/schema").content)
    assert "on_failure" in schema
