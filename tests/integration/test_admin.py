"""The admin's pages: each opens, none reads row by row, none is larger than 50 rows, operations work."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, CatalogueModel, ModelCall, ProviderCredential, Tool, ToolCall
from memory.models import MemoryItem
from meshsite.dashboard import _first_id, figures
from networks.models import ApiKey, Member, Network, Project
from tasks.models import (
    Approval,
    ApprovalMail,
    Attempt,
    Event,
    Run,
    Step,
    Task,
    WebhookDelivery,
    WebhookEndpoint,
    Worker,
)
from tests.integration.admin_world import log_in, make_world, page
from voice.models import CallEvent, PhoneCall, PhoneNumber, Turn, VoiceSession, VoiceWorker
from web.admin_site import PAGE_SIZE, ReadOnlyAdmin
from web.ids import new_id
from web.models import IdempotencyRecord
from workflows.models import Schedule, Trigger, Workflow, WorkflowVersion

pytestmark = pytest.mark.django_db

OURS = [model for model in admin.site._registry if model._meta.app_label != "auth"]


@pytest.fixture
def staff() -> Client:
    return log_in()


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    assert response.status_code == 200, url
    return len(captured)


def test_it_registers_every_model_that_people_look_for() -> None:
    expected = {
        Project, ApiKey, Network, Agent, CatalogueModel, ProviderCredential, ModelCall, Task, Run, Step,
        Attempt, Event, Worker, MemoryItem, IdempotencyRecord, PhoneNumber, VoiceSession, PhoneCall,
        VoiceWorker, Member, Tool, ToolCall, Workflow, WorkflowVersion, Schedule, Trigger, Approval,
        ApprovalMail, WebhookEndpoint, WebhookDelivery,
    }  # fmt: skip
    assert expected <= set(OURS)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_it_opens_the_list_and_the_form(staff: Client, model: Any) -> None:
    make_world()
    assert staff.get(page(model)).status_code == 200
    row = model._default_manager.first()
    assert row is not None
    assert staff.get(page(model, "change", str(row.pk))).status_code == 200


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_it_reads_a_list_with_as_many_queries_for_many_rows_as_for_few(staff: Client, model: Any) -> None:
    make_world(runs=1)
    staff.get(page(model))  # fills the caches of content types and permissions
    few = queries(staff, page(model))
    make_world(runs=6, steps=3)
    assert queries(staff, page(model)) == few <= 8


def test_it_shows_a_run_with_as_many_queries_for_many_steps_as_for_few(staff: Client) -> None:
    small, large = make_world(runs=1, steps=1), make_world(runs=1, steps=12)
    staff.get(page(Run, "change", small.pk))
    few = queries(staff, page(Run, "change", small.pk))
    assert queries(staff, page(Run, "change", large.pk)) == few <= 25


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_it_never_shows_more_than_fifty_rows(staff: Client, model: Any) -> None:
    page_admin = admin.site._registry[model]
    assert page_admin.list_per_page == page_admin.list_max_show_all == PAGE_SIZE == 50


def test_it_bounds_the_tabs_of_a_run(staff: Client) -> None:
    run = make_world(runs=1, steps=60)
    html = staff.get(page(Run, "change", run.pk)).content.decode()
    shown = [step for step in run.steps.all() if f'{page(Step, "change", step.pk)}">{step.label}</a>' in html]
    assert len(shown) == PAGE_SIZE
    assert f"run__id__exact={run.pk}" in html  # and to the whole list


@pytest.mark.parametrize(
    "model",
    [
        ModelCall,
        Task,
        Run,
        Step,
        Attempt,
        Event,
        Worker,
        MemoryItem,
        IdempotencyRecord,
        PhoneCall,
        Turn,
        CallEvent,
        VoiceSession,
        VoiceWorker,
        ToolCall,
        Workflow,
        WorkflowVersion,
        Approval,
        ApprovalMail,
        WebhookDelivery,
    ],
    ids=lambda model: model.__name__,
)
def test_it_lets_nobody_add_change_or_delete_a_record(staff: Client, model: Any) -> None:
    make_world()
    row = model._default_manager.first()
    assert isinstance(admin.site._registry[model], ReadOnlyAdmin)
    assert staff.post(page(model, "add")).status_code == 403
    assert staff.post(page(model, "change", str(row.pk)), {"state": "failed"}).status_code == 403
    assert staff.post(page(model, "delete", str(row.pk)), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("found_by", ["pk", "task_id", "request_id"])
def test_it_finds_a_run_by_its_ids(staff: Client, found_by: str) -> None:
    run = make_world(runs=3)
    html = staff.get(page(Run), {"q": getattr(run, found_by)}).content.decode()
    others = Run.objects.exclude(pk=run.pk).values_list("pk", flat=True)
    assert run.pk in html
    assert not [other for other in others if other in html]


def test_it_links_from_task_to_run_to_step_to_model_calls(staff: Client) -> None:
    run = make_world(runs=1)
    step = run.steps.first()
    assert step is not None
    call = ModelCall.objects.get(step_id=step.pk)
    assert page(Run, "change", run.pk) in staff.get(page(Task, "change", str(run.task_id))).content.decode()
    assert page(Step, "change", step.pk) in staff.get(page(Run, "change", run.pk)).content.decode()
    assert page(ModelCall, "change", call.pk) in staff.get(page(Step, "change", step.pk)).content.decode()
    for target, lookup in (
        (ModelCall, "run_id__exact"),
        (Event, "run__id__exact"),
        (MemoryItem, "source_run_id__exact"),
    ):
        narrowed = staff.get(page(target), {lookup: run.pk})
        assert narrowed.status_code == 200
        assert narrowed.context["cl"].result_count > 0


def test_it_escapes_what_models_and_clients_wrote(staff: Client) -> None:
    run = make_world(runs=1)
    html = staff.get(page(Run, "change", run.pk)).content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_it_says_that_the_dashboard_counts(staff: Client) -> None:
    make_world(runs=2, steps=2)
    with CaptureQueriesContext(connection) as captured:
        shown = figures()
    assert len(captured) <= 8
    tiles = {tile["title"]: tile["value"] for tile in shown["tiles"]}
    assert tiles["Spent today"] == "$2.00"
    assert tiles["Open breakers"] == 0
    assert tiles["Calls now"] == 2
    assert tiles["First sound p50"] == "400 ms"
    assert [worker["state"] for worker in shown["workers"]] == ["serving"]
    assert sum(total["count"] for total in shown["totals"]) == 2
    assert staff.get(reverse("admin:index")).status_code == 200


def test_it_keeps_the_dashboard_from_staff_who_may_not_see_runs() -> None:
    client = Client()
    client.force_login(User.objects.create_user("plain", is_staff=True))
    assert "mesh" not in client.get(reverse("admin:index")).context


def test_it_cuts_windows_by_ids_of_that_time() -> None:
    now = timezone.now()
    assert (
        _first_id("run", now - timedelta(seconds=1))
        < new_id("run")
        < _first_id("run", now + timedelta(minutes=1))
    )


def test_it_warns_of_a_model_that_is_about_to_go(staff: Client) -> None:
    CatalogueModel.objects.create(
        id="old-model",
        provider="openai",
        tier="standard",
        retires_on=timezone.localdate() + timedelta(days=59),
    )
    assert "old-model" in staff.get(reverse("admin:index")).content.decode()
    assert "retires soon" in staff.get(page(CatalogueModel)).content.decode()
