"""Webhooks: put down with their events, signed, tried again, given up; never to an address inside."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from django.utils import timezone
from standardwebhooks import Webhook

from networks.services import create_project
from tasks.approvals import decide
from tasks.models import Approval, Step, WebhookDelivery, WebhookEndpoint
from tasks.webhooks.delivery import Deliverer
from tasks.webhooks.schedule import PAUSES, pause_after
from tasks.webhooks.services import create_endpoint, redeliver, send_test
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import RESULT, EngineWorld, until
from tests.integration.loop_world import Model, worker
from tests.integration.workflow_world import asks, graph, start
from web.egress import Egress, EgressPolicy


class Receiver:
    """A customer's server, on the engine's loop."""

    def __init__(self, engine: EngineWorld) -> None:
        self._engine = engine
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.url = engine.run(self._open())

    async def _open(self) -> str:
        app = web.Application()
        app.router.add_post("/hook", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._egress = Egress(EgressPolicy.parse(["127.0.0.1"]))
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def _answer(self, request: web.Request) -> web.Response:
        self.messages.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers=self.headers, text="noted")

    def deliver(self) -> int:
        return self._engine.run(Deliverer(self._engine.pool, self._egress).deliver_due())

    def deliver_by_two(self) -> list[int]:
        return self._engine.together(
            *(Deliverer(self._engine.pool, self._egress).deliver_due() for _ in range(2))
        )

    @property
    def types(self) -> list[str]:
        return sorted(json.loads(body)["type"] for _, body in self.messages)

    def close(self) -> None:
        self._engine.run(self._egress.aclose())
        self._engine.run(self._runner.cleanup())


@pytest.fixture
def receiver(engine: EngineWorld) -> Iterator[Receiver]:
    receiver = Receiver(engine)
    yield receiver
    receiver.close()


def endpoint_of(engine: EngineWorld, receiver: Receiver, *events: str) -> tuple[WebhookEndpoint, str]:
    return create_endpoint(project=engine.project, values={"url": receiver.url, "events": list(events)})


def run_a_task(engine: EngineWorld, life: Incarnation) -> str:
    part, *_ = engine.delegated(life, 1)
    engine.finish(life, part)
    engine.finish(life, engine.claim_one(life), RESULT)
    return part.work.run_id


def make_due() -> None:
    WebhookDelivery.objects.update(next_at=timezone.now())


def test_it_tells_what_was_asked_for_signed(
    engine: EngineWorld, life: Incarnation, receiver: Receiver
) -> None:
    _, secret = endpoint_of(engine, receiver, "run.completed", "step.*")
    run_id = run_a_task(engine, life)
    assert receiver.deliver() == 4
    assert receiver.types == ["run.completed", "step.completed", "step.completed", "step.completed"]
    for headers, body in receiver.messages:
        named = {name.lower(): value for name, value in headers.items()}
        message: Any = Webhook(secret).verify(body, named)
        assert message["data"]["run_id"] == run_id
        assert message["data"]["project_id"] == engine.project.pk
        assert named["webhook-id"] == message["data"]["id"]
    assert receiver.deliver() == 0
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_what_was_put_down_later_is_the_newest(
    engine: EngineWorld, life: Incarnation, receiver: Receiver
) -> None:
    """The database names deliveries of events, the service those of tests: both by the time."""
    endpoint, _ = endpoint_of(engine, receiver, "run.*")
    times = [send_test(endpoint=endpoint).pk[:-14]]
    run_a_task(engine, life)
    times += [
        pk[:-14]
        for pk in WebhookDelivery.objects.exclude(event_type="webhook.test").values_list("pk", flat=True)
    ]
    times.append(send_test(endpoint=endpoint).pk[:-14])
    assert len(times) >= 4
    assert times[0] == min(times)
    assert times[-1] == max(times)


def test_it_tells_of_a_question_and_of_the_decision(
    engine: EngineWorld, life: Incarnation, receiver: Receiver
) -> None:
    endpoint_of(engine, receiver, "approval.*", "run.completed")
    ask = {"type": "human_approval", "config": {"approvers": ["editor"], "instructions": "Fit to print?"}}
    start(engine, graph("start-ask", "ask-end", ask=ask), {"text": "this"})

    async def scenario() -> None:
        async with worker(life, Model()):
            await until(lambda: asks(engine), "somebody is asked")

    engine.run(scenario())
    assert receiver.deliver() == 1
    [(_, asked)] = receiver.messages
    data = json.loads(asked)["data"]
    approval = Approval.objects.get()
    assert json.loads(asked)["type"] == "approval.requested"
    assert data["payload"]["approval_id"] == approval.pk
    decide(approval_id=approval.pk, decided_by="ann@example.com", comment="Fine")
    assert receiver.deliver() == 2
    assert receiver.types == ["approval.decided", "approval.requested", "run.completed"]
    engine.assert_sound()


def test_it_tells_nobody_of_other_projects(
    engine: EngineWorld, life: Incarnation, receiver: Receiver
) -> None:
    create_endpoint(project=create_project(name="Elsewhere"), values={"url": receiver.url})
    run_a_task(engine, life)
    assert WebhookDelivery.objects.count() == 0


def test_a_write_that_was_dropped_is_not_told(
    engine: EngineWorld, life: Incarnation, receiver: Receiver
) -> None:
    endpoint_of(engine, receiver)
    engine.start()
    claimed = engine.claim_one(life)
    before = WebhookDelivery.objects.count()
    Step.objects.update(fence=claimed.work.fence + 1)
    assert engine.finish(life, claimed, RESULT).stale
    assert WebhookDelivery.objects.count() == before


def test_two_workers_send_each_delivery_once(
    engine: EngineWorld, life: Incarnation, receiver: Receiver
) -> None:
    endpoint_of(engine, receiver)
    run_a_task(engine, life)
    waiting = WebhookDelivery.objects.count()
    assert sum(receiver.deliver_by_two()) == waiting
    ids = [headers["webhook-id"] for headers, _ in receiver.messages]
    assert len(ids) == len(set(ids)) == waiting


def test_it_tries_again_until_the_address_takes_it(engine: EngineWorld, receiver: Receiver) -> None:
    endpoint, _ = endpoint_of(engine, receiver)
    delivery = send_test(endpoint=endpoint)
    receiver.status = 503
    assert receiver.deliver() == 1
    assert receiver.deliver() == 0, "not before its time"
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.status) == ("pending", 1, 503)
    assert delivery.next_at is not None
    assert delivery.next_at > timezone.now()
    endpoint.refresh_from_db()
    assert endpoint.failing_since is not None
    make_due()
    receiver.status = 204
    assert receiver.deliver() == 1
    delivery.refresh_from_db()
    endpoint.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("delivered", 2)
    assert endpoint.failing_since is None
    assert len({headers["webhook-id"] for headers, _ in receiver.messages}) == 1


def test_it_waits_as_long_as_the_address_asks(engine: EngineWorld, receiver: Receiver) -> None:
    endpoint, _ = endpoint_of(engine, receiver)
    delivery = send_test(endpoint=endpoint)
    receiver.status, receiver.headers = 429, {"Retry-After": "600"}
    receiver.deliver()
    delivery.refresh_from_db()
    assert delivery.next_at is not None
    assert delivery.next_at > timezone.now() + timedelta(seconds=550)


def test_it_ends_after_its_tries_and_can_be_sent_again(engine: EngineWorld, receiver: Receiver) -> None:
    endpoint, _ = endpoint_of(engine, receiver)
    delivery = send_test(endpoint=endpoint)
    WebhookDelivery.objects.update(attempts=len(PAUSES))
    receiver.status = 500
    receiver.deliver()
    delivery.refresh_from_db()
    assert delivery.state == "failed"
    receiver.status = 200
    redeliver(delivery=delivery)
    assert receiver.deliver() == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("delivered", 1)


def test_an_address_that_is_gone_or_only_fails_is_switched_off(
    engine: EngineWorld, receiver: Receiver
) -> None:
    gone, _ = endpoint_of(engine, receiver)
    send_test(endpoint=gone)
    receiver.status = 410
    receiver.deliver()
    gone.refresh_from_db()
    assert (gone.active, gone.disabled_reason) == (False, "The address answered 410 Gone.")
    failing, _ = endpoint_of(engine, receiver)
    send_test(endpoint=failing)
    WebhookEndpoint.objects.filter(pk=failing.pk).update(failing_since=timezone.now() - timedelta(days=4))
    receiver.status = 500
    receiver.deliver()
    failing.refresh_from_db()
    assert not failing.active
    make_due()
    assert receiver.deliver() == 0, "what is switched off is not asked"


def test_a_claim_of_a_dead_worker_lapses(engine: EngineWorld, receiver: Receiver) -> None:
    endpoint, _ = endpoint_of(engine, receiver)
    send_test(endpoint=endpoint)
    WebhookDelivery.objects.update(claimed_until=timezone.now() + timedelta(seconds=30))
    assert receiver.deliver() == 0
    WebhookDelivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert receiver.deliver() == 1


def test_it_reaches_no_address_inside(engine: EngineWorld, receiver: Receiver) -> None:
    endpoint, _ = endpoint_of(engine, receiver)
    delivery = send_test(endpoint=endpoint)
    guarded = Egress(EgressPolicy())
    engine.run(Deliverer(engine.pool, guarded).deliver_due())
    engine.run(guarded.aclose())
    delivery.refresh_from_db()
    assert "not an address" in delivery.error
    assert receiver.messages == []


def test_pauses_grow_over_a_day_and_end() -> None:
    pauses = [pause_after(attempts) for attempts in range(1, len(PAUSES) + 1)]
    assert all(pause is not None for pause in pauses)
    assert sum(pause or 0 for pause in pauses) > 86_400 * 0.8
    assert pause_after(len(PAUSES) + 1) is None
