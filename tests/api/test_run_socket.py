"""A run's events over a WebSocket: all of them, in order, to those who may see them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from django.contrib.auth.models import User
from django.test import Client

from networks.models import Member
from tasks import consumers
from tasks.lifecycle import cancel_run
from tasks.models import Run, Task
from tasks.routing import websocket_urlpatterns
from tasks.services import process_task

from .conftest import Caller, make_caller
from .sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = (b"origin", b"http://localhost:8080")


@pytest.fixture
def run(task: Task) -> Run:
    return process_task(task=task)


@pytest.fixture(autouse=True)
def polling(settings: Any) -> None:
    settings.REDIS_URL = ""


def socket(run: Run, query: str = "", **options: Any) -> Socket:
    return Socket(URLRouter(websocket_urlpatterns), f"/ws/runs/{run.pk}{query}", **options)


def bearer(caller: Caller) -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {caller.secret}".encode())


async def told(connection: Socket) -> list[dict[str, Any]]:
    """Everything until `done`, after which the socket is closed."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] != "done":
        found.append(await connection.hear())
    assert await connection.closed() == (1000, "")
    return found


end = sync_to_async(cancel_run)


async def test_it_tells_every_event_and_ends_with_the_run(owner: Caller, run: Run) -> None:
    connection = socket(run, headers=[bearer(owner)])
    assert (await connection.connect())[0]
    first = await connection.hear()
    assert (first["type"], first["seq"], first["run_id"]) == ("run.started", 1, run.pk)
    await end(run_id=run.pk)
    rest = await told(connection)
    assert [event.get("seq") for event in rest] == [2, None]
    assert [event["type"] for event in rest] == ["run.cancelled", "done"]


@pytest.mark.parametrize("mark", [lambda run: "1", lambda run: f"{run.pk}:1"])
async def test_it_resumes_behind_an_event(owner: Caller, run: Run, mark: Callable[[Run], str]) -> None:
    await end(run_id=run.pk)
    connection = socket(run, f"?after={mark(run)}", headers=[bearer(owner)])
    await connection.connect()
    assert [event["type"] for event in await told(connection)] == ["run.cancelled", "done"]


async def test_a_key_may_come_as_a_protocol(owner: Caller, run: Run) -> None:
    await end(run_id=run.pk)
    connection = socket(run, protocols=["mesh", owner.secret])
    assert await connection.connect() == (True, "mesh")
    assert len(await told(connection)) == 3


async def test_a_key_may_come_as_the_first_message(owner: Caller, run: Run) -> None:
    await end(run_id=run.pk)
    connection = socket(run)
    await connection.connect()
    await connection.say(json.dumps({"key": owner.secret, "after": 1}))
    assert len(await told(connection)) == 2


async def test_it_lets_in_who_is_logged_in_and_may_see_the_run(owner: Caller, run: Run) -> None:
    await end(run_id=run.pk)
    user = await User.objects.acreate(username="ann")
    client = Client()
    await sync_to_async(client.force_login)(user)
    cookie = (b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode())
    stranger = socket(run, headers=[ORIGIN, cookie])
    await stranger.connect()
    assert await stranger.closed() == (4404, "not_found")
    await Member.objects.acreate(project=owner.project, user=user, email="ann@example.com")
    member = socket(run, headers=[ORIGIN, cookie])
    await member.connect()
    assert len(await told(member)) == 3
    from_elsewhere = socket(run, headers=[(b"origin", b"https://evil.example"), cookie])
    assert not (await from_elsewhere.connect())[0]
    without_origin = socket(run, headers=[cookie])
    await without_origin.connect()
    await without_origin.say("{}")
    assert await without_origin.closed() == (4401, "unauthenticated")


async def test_it_keeps_strangers_out(stranger: Caller, run: Run) -> None:
    connection = socket(run, headers=[bearer(stranger)])
    await connection.connect()
    assert await connection.closed() == (4404, "not_found")


async def test_it_needs_a_key_that_may_read(owner: Caller, run: Run) -> None:
    writer = await sync_to_async(make_caller)(owner.project, "write")
    connection = socket(run, headers=[bearer(writer)])
    await connection.connect()
    assert await connection.closed() == (4403, "missing_scope")


@pytest.mark.parametrize("said", ["", "[", "[1]", '{"key": 5}', '{"key": "mesh_wrong"}', "{" * 5000])
async def test_it_refuses_who_does_not_say_who_it_is(run: Run, said: str) -> None:
    connection = socket(run)
    await connection.connect()
    await connection.say(said)
    assert await connection.closed() == (4401, "unauthenticated")


async def test_it_does_not_wait_for_the_first_message_for_ever(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "FIRST_MESSAGE_SECONDS", 0.01)
    connection = socket(run)
    await connection.connect()
    assert await connection.closed() == (4401, "unauthenticated")


async def test_it_refuses_a_mark_of_another_run(owner: Caller, run: Run) -> None:
    connection = socket(run, "?after=run_x:1", headers=[bearer(owner)])
    await connection.connect()
    assert (await connection.closed())[0] == 4422


async def test_it_ends_when_the_other_side_leaves(owner: Caller, run: Run) -> None:
    connection = socket(run, headers=[bearer(owner)])
    await connection.connect()
    await connection.hear()
    await connection.leave()
