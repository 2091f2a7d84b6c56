"""A run that waits for a person, as a worker would leave it."""

from typing import Any

from django.db import connection, transaction

from networks.models import Project
from networks.services import add_member
from tasks.engine.ports import NewApproval
from tasks.models import Approval, Run, Step
from tasks.store.pausing import Pause, pausing
from tasks.store.work import perform_here
from tasks.workflow_runs import start_workflow_run
from workflows.models import WorkflowVersion
from workflows.services import create_workflow

OWNER = "ann@example.com"


def asking_graph(*, rejected: bool = False, **config: Any) -> dict[str, Any]:
    """start → ask → end; a rejection ends elsewhere, or fails the run."""
    config.setdefault("approvers", ["approver"])
    ends = [{"id": "end", "type": "end", "config": {"output": "{{ nodes.ask.output }}"}}]
    edges = [
        {"id": "e1", "from_node_id": "start", "to_node_id": "ask"},
        {"id": "e2", "from_node_id": "ask", "to_node_id": "end", "label": "approved"},
    ]
    if rejected:
        ends.append({"id": "no", "type": "end"})
        edges.append({"id": "e3", "from_node_id": "ask", "to_node_id": "no", "label": "rejected"})
    ask = {"id": "ask", "type": "human_approval", "label": "Approve the brief", "config": config}
    return {"nodes": [{"id": "start", "type": "start"}, ask, *ends], "edges": edges}


def waiting_approval(project: Project, *, rejected: bool = False, **asked: Any) -> Approval:
    """Start a run and have its approval asked for; `asked` are fields of `NewApproval`."""
    workflow = create_workflow(project=project, name="Brief", graph=asking_graph(rejected=rejected))
    version = WorkflowVersion.objects.get(workflow=workflow)
    assert version.valid, version.findings
    run = start_workflow_run(project=project, version=version, input={"topic": "rain"})
    ask_for(run, **asked)
    return Approval.objects.get(run=run)


def ask_for(run: Run, **asked: Any) -> None:
    """Have the run's step that asks be claimed, and wait."""
    asked.setdefault("approvers", ("approver",))
    asked.setdefault("instructions", "Is this brief right?")
    asked.setdefault("data", {"headline": "Rain again", "budget": 100})
    Step.objects.filter(run=run, key="ask").update(state="running", fence=1, owner="w1")
    step = Step.objects.get(run=run, key="ask")
    with transaction.atomic():
        paused = perform_here(
            connection.connection, pausing(Pause(step.pk, run.pk, 1, "w1", NewApproval(**asked)))
        )
    assert not paused.stale


def approver(project: Project, email: str = OWNER, role: str = "approver") -> str:
    """A member who may decide."""
    return add_member(project=project, email=email, role=role).email
