"""A step waits for a person without a slot; the first decision ends it, and the run goes on at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks.approvals import decide, reassign
from tasks.lifecycle import cancel_run
from tasks.models import Approval, Event, Run, WebhookDelivery
from tasks.webhooks.services import create_endpoint
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import EngineWorld, states, until
from tests.integration.loop_world import Model, ended, worker
from tests.integration.workflow_world import events, graph, output, start, step
from web.problems import Conflict, Invalid, NotFound

FORM = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def waiting(engine: EngineWorld, life: Incarnation, *edges: str, **config: Any) -> tuple[Run, Approval]:
    """A run that waits for a person."""
    config = {"approvers": ["editor"], "instructions": "Look at {{ input.text }}.", **config}
    ask = {"type": "human_approval", "config": config}
    edges = edges or ("start-ask", "ask-end")
    others = {"sorry": "end"} if "ask-sorry:rejected" in edges else {}
    run = start(engine, graph(*edges, ask=ask, **others), {"text": "this"})

    async def scenario() -> None:
        async with worker(life, Model()) as steps:
            await until(lambda: _asked(engine), "somebody is asked")
            await until(lambda: not steps.held, "no slot is held")

    engine.run(scenario())
    return run, Approval.objects.get(run=run)


async def _asked(engine: EngineWorld) -> bool:
    async with engine.pool.connection() as connection_:
        cursor = await connection_.execute("SELECT count(*) FROM tasks_approval WHERE state = 'pending'")
        row = await cursor.fetchone()
    return bool(row and row[0])


def run_on(engine: EngineWorld, life: Incarnation, run: Run) -> Run:
    async def scenario() -> None:
        async with worker(life, Model()):
            await ended(engine, run)

    engine.run(scenario())
    engine.assert_sound()
    return Run.objects.get(pk=run.pk)


def test_it_waits_with_its_clock_standing(engine: EngineWorld, life: Incarnation) -> None:
    run, approval = waiting(engine, life)
    now = Run.objects.get(pk=run.pk)
    assert (now.state, now.wait_reason) == ("waiting", "approval")
    assert now.clock_stopped_at is not None
    assert (approval.instructions, approval.data, approval.approvers) == (
        "Look at this.",
        {"text": "this"},
        ["editor"],
    )
    assert events(run)[-3:] == ["step.waiting_human", "approval.requested", "run.waiting"]
    engine.assert_sound()


def test_it_goes_on_when_somebody_approves(engine: EngineWorld, life: Incarnation) -> None:
    run, approval = waiting(engine, life)
    decide(approval_id=approval.pk, decided_by="ann@example.com", comment="Fine")
    assert states(run) == dict.fromkeys(("start", "ask", "end"), "succeeded"), "nothing is left for a worker"
    done = Run.objects.get(pk=run.pk)
    assert (done.state, done.clock_stopped_at) == ("succeeded", None)
    assert output(run) == {
        "decision": "approved",
        "data": {"text": "this"},
        "comment": "Fine",
        "decided_by": "ann@example.com",
    }
    assert events(run)[-5:] == [
        *("approval.decided", "step.completed"),
        *("step.started", "step.completed", "run.completed"),
    ]
    engine.assert_sound()


def test_it_goes_on_with_what_was_edited(engine: EngineWorld, life: Incarnation) -> None:
    run, approval = waiting(engine, life, form_schema=FORM)
    with pytest.raises(Invalid):
        decide(approval_id=approval.pk, decision="edit", output={"text": 1}, decided_by="ann")
    decide(approval_id=approval.pk, decision="edit", output={"text": "better"}, decided_by="ann")
    run_on(engine, life, run)
    assert output(run)["data"] == {"text": "better"}
    assert Approval.objects.get().edited


def test_it_fails_the_run_when_it_is_rejected(engine: EngineWorld, life: Incarnation) -> None:
    run, approval = waiting(engine, life)
    decide(approval_id=approval.pk, decision="reject", comment="No.", decided_by="ann")
    failed = Run.objects.get(pk=run.pk)
    assert (failed.state, failed.error_code) == ("failed", "approval_rejected")
    assert "ann" in failed.error_detail
    engine.assert_sound()


def test_it_takes_the_edge_for_rejections(engine: EngineWorld, life: Incarnation) -> None:
    run, approval = waiting(engine, life, "start-ask", "ask-end", "ask-sorry:rejected")
    decide(approval_id=approval.pk, decision="reject", decided_by="ann")
    assert run_on(engine, life, run).state == "succeeded"
    assert step(run, "sorry").state == "succeeded"
    assert output(run)["decision"] == "rejected"


def test_it_lets_the_first_decision_count(engine: EngineWorld, life: Incarnation) -> None:
    _, approval = waiting(engine, life)
    decide(approval_id=approval.pk, decided_by="ann")
    with pytest.raises(Conflict, match="approved by ann"):
        decide(approval_id=approval.pk, decision="reject", decided_by="bob")
    assert Event.objects.filter(type="approval.decided").count() == 1
    with pytest.raises(NotFound):
        decide(approval_id="approval_x", decided_by="bob")


def test_it_closes_what_is_pending_when_the_run_is_cancelled(engine: EngineWorld, life: Incarnation) -> None:
    run, approval = waiting(engine, life)
    cancel_run(run_id=run.pk)
    assert Approval.objects.get().state == "cancelled"
    with pytest.raises(Conflict, match="cancelled"):
        decide(approval_id=approval.pk, decided_by="ann")
    engine.assert_sound()


@pytest.mark.parametrize(
    ("on_deadline", "state", "approval_state"),
    [
        ("approve", "succeeded", "expired"),
        ("reject", "failed", "expired"),
        ("escalate", "waiting", "pending"),
    ],
)
def test_it_does_at_the_deadline_what_was_said(
    engine: EngineWorld, life: Incarnation, on_deadline: str, state: str, approval_state: str
) -> None:
    run, approval = waiting(engine, life, deadline_seconds=60, on_deadline=on_deadline, escalate_to=["owner"])
    assert engine.run(life.sweep.due_approvals()) == []
    Approval.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    assert engine.run(life.sweep.due_approvals()) == [(approval.pk, run.pk)]
    engine.run(life.sweep.expire(approval.pk))
    assert engine.run(life.sweep.due_approvals()) == []
    approval.refresh_from_db()
    assert (Run.objects.get(pk=run.pk).state, approval.state) == (state, approval_state)
    assert approval.approvers == (["owner"] if on_deadline == "escalate" else ["editor"])
    assert events(run).count("approval.expired") == 1
    engine.assert_sound()


def test_it_is_asked_of_others_when_it_is_reassigned(engine: EngineWorld, life: Incarnation) -> None:
    run, approval = waiting(engine, life)
    assert reassign(approval_id=approval.pk, approvers=["bob@example.com"], by="ann").approvers == [
        "bob@example.com"
    ]
    assert events(run)[-1] == "approval.reassigned"
    engine.assert_sound()


def test_its_runs_deadline_moves_by_the_time_it_waited(engine: EngineWorld, life: Incarnation) -> None:
    run, approval = waiting(engine, life)
    deadline = timezone.now() + timedelta(seconds=5)
    Run.objects.update(deadline_at=deadline, clock_stopped_at=timezone.now() - timedelta(hours=1))
    assert engine.run(life.sweep.overdue_runs()) == []
    decide(approval_id=approval.pk, decided_by="ann")
    moved = Run.objects.get(pk=run.pk).deadline_at
    assert moved is not None
    assert moved - deadline >= timedelta(hours=1)


@pytest.mark.parametrize("way", ["decided", "expired", "reassigned"])
def test_it_is_told_to_webhooks(engine: EngineWorld, life: Incarnation, way: str) -> None:
    values = {"url": "https://example.com/hook", "events": ["approval.*"]}
    create_endpoint(project=engine.project, values=values)
    _, approval = waiting(engine, life, deadline_seconds=60, on_deadline="approve")
    match way:
        case "decided":
            decide(approval_id=approval.pk, decided_by="ann")
        case "reassigned":
            reassign(approval_id=approval.pk, approvers=["owner"], by="ann")
        case "expired":
            Approval.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
            engine.run(life.sweep.expire(approval.pk))
    told = WebhookDelivery.objects.order_by("pk").values_list("event_type", flat=True)
    assert list(told) == ["approval.requested", f"approval.{way}"]


def test_a_join_that_goes_on_at_once_leaves_what_would_have_begun_with_it(
    engine: EngineWorld, life: Incarnation
) -> None:
    slow = {"type": "human_approval", "config": {"approvers": ["editor"]}}
    body = graph(
        *("start-ask", "ask-p", "p-slow", "p-j", "slow-j", "j-end"),
        ask=slow,
        p="parallel",
        slow=slow,
        j={"type": "join", "config": {"mode": "any"}},
        end={"type": "end", "config": {"output": "{{ nodes.slow.status }}"}},
    )
    run = start(engine, body, {})

    async def scenario() -> None:
        async with worker(life, Model()):
            await until(lambda: _asked(engine), "somebody is asked")

    engine.run(scenario())
    decide(approval_id=Approval.objects.get().pk, decided_by="ann")
    assert Run.objects.get(pk=run.pk).state == "succeeded"
    assert states(run)["slow"] == "skipped"
    assert output(run) == "skipped"
    assert Approval.objects.count() == 1
    engine.assert_sound()
