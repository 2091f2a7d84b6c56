"""Schedules over HTTP: when they are due next, and what is wrong with those that are not kept."""

from datetime import UTC, datetime
from typing import Any

import pytest

from workflows.models import Schedule, Workflow
from workflows.services import archive, create_workflow

from .conftest import Caller, make_caller
from .endpoints import A_GRAPH

SCHEDULES = "/api/schedules"


@pytest.fixture
def workflow(owner: Caller) -> Workflow:
    return create_workflow(project=owner.project, name="Digest", graph=A_GRAPH)


@pytest.fixture
def body(workflow: Workflow) -> dict[str, Any]:
    return {"workflow_id": workflow.pk, "cron": "30 9 * * *", "timezone": "Europe/Berlin"}


def test_it_says_when_it_is_due_next(owner: Caller, body: dict[str, Any]) -> None:
    made = owner.post(SCHEDULES, body | {"name": "Morning", "input": {"topic": "news"}})
    assert made.status_code == 201, made.content
    schedule = made.json()
    assert made.headers["Location"] == f"{SCHEDULES}/{schedule['id']}"
    due = datetime.fromisoformat(schedule["next_at"])
    assert due > datetime.now(UTC)
    assert due.minute == 30
    assert due.hour in (7, 8)
    assert (schedule["catch_up"], schedule["active"], schedule["last_run_id"]) == ("once", True, None)
    assert owner.get(f"{SCHEDULES}/{schedule['id']}").json() == schedule
    assert [row["id"] for row in owner.get(SCHEDULES).json()] == [schedule["id"]]
    assert owner.get(f"{SCHEDULES}?workflow_id=workflow_x").json() == []


def test_it_accepts_the_camel_case_of_the_original_design(owner: Caller, workflow: Workflow) -> None:
    made = owner.post(SCHEDULES, {"workflowId": workflow.pk, "cron": "* * * * *", "catchUp": "all"})
    assert made.json()["catch_up"] == "all"


def test_switched_off_it_is_not_due_and_on_again_it_counts_from_now(
    owner: Caller, body: dict[str, Any]
) -> None:
    address = f"{SCHEDULES}/{owner.post(SCHEDULES, body).json()['id']}"
    assert owner.patch(address, {"active": False}).json()["next_at"] is None
    Schedule.objects.update(last_error="It was broken.")
    again = owner.patch(address, {"active": True}).json()
    assert datetime.fromisoformat(again["next_at"]) > datetime.now(UTC)
    assert again["last_error"] == ""


def test_another_cron_changes_when_it_is_due(owner: Caller, body: dict[str, Any]) -> None:
    made = owner.post(SCHEDULES, body).json()
    changed = owner.patch(f"{SCHEDULES}/{made['id']}", {"cron": "0 0 1 1 *", "timezone": "UTC"}).json()
    assert changed["next_at"].endswith("-01-01T00:00:00Z")
    same = owner.patch(f"{SCHEDULES}/{made['id']}", {"name": "New year"}).json()
    assert same["next_at"] == changed["next_at"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"cron": "61 * * * *"}, "/cron"),
        ({"cron": "0 0 31 2 *"}, "/cron"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"catch_up": "some"}, "/catch_up"),
        ({"input": []}, "/input"),
        ({"workflow_id": "workflow_x"}, "/workflow_id"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_it_names_the_field_that_is_wrong(
    owner: Caller, body: dict[str, Any], changes: dict[str, Any], pointer: str
) -> None:
    made = owner.post(SCHEDULES, body | changes)
    assert made.status_code == 422
    assert [error["pointer"] for error in made.json()["errors"]] == [pointer]
    address = f"{SCHEDULES}/{owner.post(SCHEDULES, body).json()['id']}"
    assert owner.patch(address, changes).json()["errors"][0]["pointer"] == pointer


def test_it_does_not_schedule_a_strangers_workflow(
    stranger: Caller, owner: Caller, body: dict[str, Any]
) -> None:
    refused = stranger.post(SCHEDULES, body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["code"] == "does_not_exist"


def test_an_archived_workflow_is_not_scheduled(
    owner: Caller, workflow: Workflow, body: dict[str, Any]
) -> None:
    made = owner.post(SCHEDULES, body).json()
    archive(workflow=workflow)
    address = f"{SCHEDULES}/{made['id']}"
    assert owner.get(address).json()["active"] is False
    assert owner.patch(address, {"active": True}).status_code == 409


def test_a_restricted_key_sees_none(owner: Caller, network: Any, body: dict[str, Any]) -> None:
    made = owner.post(SCHEDULES, body).json()
    restricted = make_caller(owner.project, "write", "read", network_ids=[network.pk])
    assert restricted.get(SCHEDULES).json() == []
    assert restricted.get(f"{SCHEDULES}/{made['id']}").status_code == 404
    assert restricted.post(SCHEDULES, body).status_code == 403


def test_it_goes_with_its_delete(owner: Caller, body: dict[str, Any]) -> None:
    address = f"{SCHEDULES}/{owner.post(SCHEDULES, body).json()['id']}"
    assert owner.delete(address).status_code == 204
    assert owner.get(address).status_code == 404
