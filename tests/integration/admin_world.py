"""A project with a row in every table, and a client that is logged in to the admin."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, CatalogueModel, ModelCall, ProviderCredential, Tool, ToolCall
from memory.models import MemoryItem
from networks.models import ApiKey, Member, Network, Project
from tasks.models import (
    Approval,
    Attempt,
    Event,
    Run,
    RunBody,
    Snapshot,
    Step,
    StepBody,
    Task,
    WebhookDelivery,
    WebhookEndpoint,
    Worker,
)
from voice.models import CallEvent, PhoneCall, PhoneNumber, Turn, VoiceSession, VoiceWorker
from web.ids import new_id
from web.models import IdempotencyRecord
from workflows.models import Schedule, Trigger, Workflow
from workflows.services import create_workflow


def make_world(runs: int = 3, steps: int = 2) -> Run:
    """A project with everything in it; returns its last run, which is running."""
    now = timezone.now()
    project = Project.objects.create(name="Owner")
    network = Network.objects.create(project=project, name="Campaigns")
    agent = Agent.objects.create(project=project, network=network, name="Writer", type="content")
    Agent.objects.create(project=project, network=network, name="Lead", type="coordinator")
    CatalogueModel.objects.get_or_create(
        id="test-model", defaults={"provider": "anthropic", "tier": "standard"}
    )
    ProviderCredential.objects.create(project=project, provider="anthropic", encrypted_key=b"x")
    ApiKey.objects.create(project=project, name="Key", prefix="mesh_abc", digest=new_id("d"), scopes=["read"])
    IdempotencyRecord.objects.create(
        owner="key_1", key=new_id("k"), method="POST", path="/", request_hash="h"
    )
    snapshot, _ = Snapshot.objects.get_or_create(hash="0" * 64, defaults={"body": {}})
    worker = Worker.objects.create(
        slot="worker-1", host="h", pid=1, lease_until=now + timedelta(minutes=1), started_at=now
    )
    VoiceWorker.objects.get_or_create(
        name="voice-1",
        defaults={
            "host": "h", "pid": 1, "slots": 50, "lease_until": now + timedelta(minutes=1), "started_at": now,
        },
    )  # fmt: skip
    PhoneNumber.objects.create(
        project=project, network=network, number=f"+1500555{PhoneNumber.objects.count():04}"
    )
    tool = Tool.objects.create(
        project=project, name="clock", type="builtin", config={"function": "current_time"}
    )
    make_starts(project)
    run = None
    for number in range(runs):
        task = Task.objects.create(
            project=project, network=network, description=f"Write {number}", request_id=f"req-{number}"
        )
        run = Run.objects.create(
            project=project, network=network, task=task, snapshot=snapshot, state="running",
            created_at=now, started_at=now, updated_at=now, request_id=f"req-{number}", event_seq=1,
        )  # fmt: skip
        RunBody.objects.create(run=run, input={"task": "<script>alert(1)</script>"})
        task.run = run
        task.save()
        for place in range(steps):
            step = Step.objects.create(
                run=run, project=project, key=f"s{place}", kind="delegate", label=f"Step {place}", agent_id=agent.pk,
                state="waiting", wait_reason="provider", rank=now, created_at=now, ready_at=now, owner=worker.pk,
            )  # fmt: skip
            StepBody.objects.create(step=step)
            Attempt.objects.create(
                step=step, fence=1, worker=worker.pk, outcome="released", started_at=now, finished_at=now
            )
            ModelCall.objects.create(
                project_id=project.pk, network_id=network.pk, agent_id=agent.pk, run_id=run.pk, step_id=step.pk,
                provider="anthropic", model="test-model", requested_model="test-model", cost="0.5", started_at=now,
            )  # fmt: skip
            ToolCall.objects.create(
                project_id=project.pk, tool_id=tool.pk, agent_id=agent.pk, run_id=run.pk, step_id=step.pk,
                name=tool.name, idempotency_key=new_id("key"), started_at=now,
            )  # fmt: skip
            Approval.objects.create(  # which puts down a letter as well
                project=project, run=run, step=step, approvers=["approver"], data={"text": "<script>alert(3)"}
            )
        session = VoiceSession.objects.create(
            project=project, network=network, provider="web", expires_at=now + timedelta(hours=1)
        )
        call = PhoneCall.objects.create(
            project=project, network=network, session_id=session.pk, run_id=run.pk, transport="web",
            state="active", worker="voice-1", started_at=now, mos=4.1, use=[{"connector": "local", "kind": "tts"}],
            latencies={"first_frame": {"p50": 400.0, "p95": 500.0, "p99": 510.0}}, statistics={"seconds": 3},
        )  # fmt: skip
        Turn.objects.create(
            call=call, number=1, caller_text="<script>alert(2)</script>", reply_text="Hello you.",
            heard_text="Hello", interrupted=True, latencies={"first_frame": 400.0}, started_at=now,
        )  # fmt: skip
        CallEvent.objects.create(call=call, seq=1, type="call.started", at=now)
        Event.objects.create(run=run, seq=1, type="run.started", at=now)
        MemoryItem.objects.create(
            project=project, network=network, content="A fact", source="agent", source_agent_id=agent.pk,
            source_run_id=run.pk, created_at=now, updated_at=now,
        )  # fmt: skip
    assert run is not None
    return run


def make_starts(project: Project) -> Workflow:
    """A workflow that is valid, what starts it by itself, who may decide in it, and where it is told."""
    graph = {
        "nodes": [
            {"id": "start", "type": "start"},
            {"id": "end", "type": "end", "label": "<script>alert(4)"},
        ],
        "edges": [{"id": "e", "from_node_id": "start", "to_node_id": "end"}],
    }
    workflow = create_workflow(project=project, name="Brief", graph=graph)
    Schedule.objects.create(project=project, workflow=workflow, cron="0 9 * * 1-5", timezone="Europe/Berlin")
    Trigger.objects.create(
        project=project, workflow=workflow, token_digest=new_id("digest"), encrypted_secret=b"x"
    )
    Member.objects.create(project=project, email="ann@example.com", role="approver")
    webhook = WebhookEndpoint.objects.create(
        project=project, url="https://example.com/hook", encrypted_secret=b"x"
    )
    WebhookDelivery.objects.create(
        endpoint=webhook, event_type="run.completed", event_id=new_id("event"), payload={}, state="failed"
    )
    return workflow


def log_in() -> Client:
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns of a missing one
    client = Client()
    client.force_login(User.objects.create_superuser("root", "root@example.com", "secret"))
    return client


def page(model: Any, kind: str = "changelist", *args: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=args)


def messages_of(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))
