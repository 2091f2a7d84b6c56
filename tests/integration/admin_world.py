"""A project with a row in every table, and a client that is logged in to the admin."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, CatalogueModel, ModelCall, ProviderCredential
from memory.models import MemoryItem
from networks.models import ApiKey, Network, Project
from tasks.models import Attempt, Event, Run, RunBody, Snapshot, Step, StepBody, Task, Worker
from web.ids import new_id
from web.models import IdempotencyRecord


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
        Event.objects.create(run=run, seq=1, type="run.started", at=now)
        MemoryItem.objects.create(
            project=project, network=network, content="A fact", source="agent", source_agent_id=agent.pk,
            source_run_id=run.pk, created_at=now, updated_at=now,
        )  # fmt: skip
    assert run is not None
    return run


def log_in() -> Client:
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns of a missing one
    client = Client()
    client.force_login(User.objects.create_superuser("root", "root@example.com", "secret"))
    return client


def page(model: Any, kind: str = "changelist", *args: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=args)


def messages_of(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))
