"""Runs of workflows survive what tasks survive: storms of kills, crashes at every point, a restart while they wait."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agents.models import Agent, Tool, ToolCall
from tasks.approvals import decide
from tasks.engine import crash
from tasks.models import Approval, Attempt, Event, Run, Step
from tasks.workflow_runs import start_workflow_run
from tests.integration.workflow_world import graph
from workflows.models import Workflow, WorkflowVersion
from workflows.services import create_workflow, publish, update_workflow

from .mesh import Mesh
from .shop import Shop, look_up
from .test_storm import Storm, ride_out

FAN_OUT = 8
ORDERS = 2  # of them
STEPS = FAN_OUT + 4


def workflow(mesh: Mesh, body: dict[str, Any], name: str = "Flow") -> Workflow:
    made = create_workflow(project=mesh.project, name=name, graph=body)
    version = publish(workflow=made)
    assert version.valid, version.findings
    made.refresh_from_db()
    return made


def begin(mesh: Mesh, made: Workflow, number: int = 1, version: int = 1) -> Run:
    chosen = WorkflowVersion.objects.get(workflow=made, number=version)
    return start_workflow_run(project=mesh.project, version=chosen, input={"number": number})


def writer(mesh: Mesh, **fields: Any) -> Agent:
    return Agent.objects.create(project=mesh.project, name="Writer", type="content", **fields)


def fan(mesh: Mesh, shop: Shop) -> dict[str, Any]:
    """Start, agents and orders in parallel, a join, the end."""
    agent = writer(mesh)
    order = Tool.objects.create(
        project=mesh.project,
        name="order",
        type="http",
        config={"method": "POST", "url": f"{shop.url}/orders"},
    )
    nodes: dict[str, Any] = {
        f"a{way}": {
            "type": "agent",
            "agent_id": agent.pk,
            "config": {"prompt": f"Part {way} of number {{{{ input.number }}}}"},
        }
        for way in range(FAN_OUT - ORDERS)
    }
    nodes |= {f"o{way}": {"type": "tool", "tool_id": order.pk} for way in range(ORDERS)}
    edges = [f"p-{node}" for node in nodes] + [f"{node}-j" for node in nodes]
    return graph("start-p", *edges, "j-end", p="parallel", **nodes)


@dataclass(kw_only=True)
class WorkflowStorm(Storm):
    shop: Shop
    asked: int = 0

    def beginning(self) -> Callable[[int], list[Run]]:
        made = workflow(self.mesh, fan(self.mesh, self.shop))
        return lambda number: [begin(self.mesh, made, number)]

    def look_after(self) -> None:
        self.asked += look_up(self.shop)


def ride_out_whole(mesh: Mesh, shop: Shop, *, runs: int, kills: int) -> None:
    """Every step of every run is there and ended once, and every order was taken once."""
    storm = WorkflowStorm(mesh, tasks=runs, kills=kills, shop=shop)
    print(f"{ride_out(mesh, storm)}; {storm.asked} orders looked up")
    assert Step.objects.filter(state="succeeded").count() == runs * STEPS
    assert Event.objects.filter(type="step.completed").count() == runs * STEPS
    assert len(shop.orders) == runs * ORDERS
    assert set(shop.orders.values()) == {1}


def test_they_ride_out_a_storm_of_kills(mesh: Mesh, shop: Shop) -> None:
    ride_out_whole(mesh, shop, runs=16, kills=8)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_they_ride_out_a_hundred_kills(mesh: Mesh, shop: Shop) -> None:
    ride_out_whole(mesh, shop, runs=100, kills=100)


@pytest.mark.parametrize("point", crash.POINTS)
def test_they_survive_a_kill(mesh: Mesh, point: str) -> None:
    tool = Tool.objects.create(
        project=mesh.project, name="calc", type="builtin", config={"function": "calculator"}
    )
    body = graph(
        *("start-sum", "sum-say", "say-end"),
        sum={
            "type": "tool",
            "tool_id": tool.pk,
            "config": {"input": {"expression": "1 + {{ input.number }}"}},
        },
        say={
            "type": "agent",
            "agent_id": writer(mesh).pk,
            "config": {"prompt": "Say {{ nodes.sum.output.value }}."},
        },
    )
    made = workflow(mesh, body)
    victim = mesh.begin_worker(crash=f"{point}:1")
    run = begin(mesh, made)
    mesh.wait_dead(victim)
    mesh.begin_worker()
    mesh.wait_ended([run])
    assert ToolCall.objects.get().state == "succeeded"
    assert Attempt.objects.filter(outcome="lease_lost").exists()
    mesh.assert_sound()


def test_they_wait_for_a_person_over_a_restart_of_everything(mesh: Mesh) -> None:
    """Nothing before is repeated, and a version published meanwhile changes nothing."""
    agent = writer(mesh)
    draft = {"type": "agent", "agent_id": agent.pk, "config": {"prompt": "Draft {{ input.number }}."}}
    ask = {"type": "human_approval", "config": {"approvers": ["editor"], "data": "{{ nodes.draft.output }}"}}
    body = graph("start-draft", "draft-ask", "ask-end", draft=draft, ask=ask)
    made = workflow(mesh, body)
    mesh.start_workers("w1", "w2")
    run = begin(mesh, made)
    mesh.wait_waiting(run, "approval")
    for old in mesh.workers:
        old.kill()
    changed = {**body, "nodes": [{**node, "label": "Changed"} for node in body["nodes"]]}
    update_workflow(workflow=made, changes={"graph": changed})
    publish(workflow=made)
    mesh.start_workers("w1", "w2")
    approval = Approval.objects.get()
    decide(approval_id=approval.pk, decided_by="ann@example.com")
    decided = mesh.clock()
    [done] = mesh.wait_ended([run])
    print(f"ended {mesh.clock() - decided:.2f} s after the decision")
    assert (done.workflow_version, done.model_calls, len(mesh.calls())) == (1, 1, 1)
    assert not Step.objects.filter(label="Changed").exists()
    assert Event.objects.filter(type="step.completed").count() == 4
    mesh.assert_sound()
