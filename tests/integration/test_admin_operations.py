"""What staff do in the admin: cancel, retry, requeue; make, rotate and revoke keys; keep credentials."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from agents import crypto
from agents.models import ProviderCredential
from networks.models import ApiKey, Network, Project
from tasks.models import Run, Step, Task
from tests.integration.admin_world import log_in, make_world, messages_of, page

pytestmark = pytest.mark.django_db

CONFIRMED = {"_form_submitted": "True"}


@pytest.fixture
def staff() -> Client:
    return log_in()


def select(action: str, *rows: Any) -> dict[str, Any]:
    return {"action": action, "_selected_action": [row.pk for row in rows]}


def test_it_cancels_a_run_after_asking(staff: Client) -> None:
    run = make_world(runs=1)
    url = page(Run, "cancel", run.pk)
    assert staff.get(url).status_code == 200
    run.refresh_from_db()
    assert run.state == "running"  # a link alone changes nothing
    answer = staff.post(url, CONFIRMED)
    assert answer.headers["HX-Redirect"] == page(Run, "change", run.pk)
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert "in the admin" in run.error_detail
    assert LogEntry.objects.filter(object_id=run.pk, change_message__contains="Cancelled").exists()


def test_it_refuses_a_cancel_without_a_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    run = make_world(runs=1)
    assert client.post(page(Run, "cancel", run.pk), CONFIRMED).status_code == 403


def test_it_refuses_operations_to_staff_who_may_only_look() -> None:
    client = Client()
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_run", "view_task"]))
    client.force_login(user)
    run = make_world(runs=1)
    assert client.get(page(Run, "change", run.pk)).status_code == 200
    assert client.post(page(Run, "cancel", run.pk), CONFIRMED).status_code == 403
    assert client.post(page(Run), select("cancel_selected", run)).status_code in (200, 302)
    run.refresh_from_db()
    assert run.state == "running"


def test_it_cancels_many_and_leaves_ended_ones_alone(staff: Client) -> None:
    make_world(runs=3)
    ended = Run.objects.all()[0]
    Run.objects.filter(pk=ended.pk).update(state="succeeded")
    answer = staff.post(page(Run), select("cancel_selected", *Run.objects.all()))
    assert "(2)" in messages_of(answer)
    assert "1 left" in messages_of(answer)
    assert sorted(Run.objects.values_list("state", flat=True)) == ["cancelled", "cancelled", "succeeded"]


def test_it_retries_a_task_that_has_ended(staff: Client) -> None:
    run = make_world(runs=1)
    Run.objects.update(state="failed")
    staff.post(page(Task, "retry", str(run.task_id)), CONFIRMED)
    new = Run.objects.exclude(pk=run.pk).get()
    assert new.replayed_from_id == run.pk


def test_it_says_why_a_running_task_is_not_retried(staff: Client) -> None:
    run = make_world(runs=1)
    answer = staff.post(page(Run), select("retry_selected", run))
    assert "still running" in messages_of(answer)
    assert Run.objects.count() == 1


def test_it_requeues_waiting_steps(staff: Client) -> None:
    run = make_world(runs=1, steps=2)
    step = run.steps.first()
    assert step is not None
    staff.post(page(Step, "requeue", step.pk), CONFIRMED)
    assert set(run.steps.values_list("state", flat=True)) == {"ready"}


def test_it_shows_a_new_key_once_and_keeps_its_hash_only(staff: Client) -> None:
    project = Project.objects.create(name="Owner")
    answer = staff.post(page(ApiKey, "add"), {"project": project.pk, "name": "CI", "scopes": ["read"]})
    key = ApiKey.objects.get()
    secret = messages_of(answer).split("copy it now: ")[1].split()[0]
    assert secret.startswith(key.prefix)
    assert key.scopes == ["read"]
    shown = staff.get(page(ApiKey, "change", key.pk)).content.decode()  # the message, this once
    assert secret in shown
    assert secret not in staff.get(page(ApiKey, "change", key.pk)).content.decode()
    assert key.digest not in shown


def test_it_rotates_and_revokes_a_key(staff: Client) -> None:
    make_world(runs=1)
    key = ApiKey.objects.get()
    staff.post(page(ApiKey, "rotate", key.pk), CONFIRMED | {"overlap_hours": "1"})
    key.refresh_from_db()
    assert key.expires_at is not None
    assert ApiKey.objects.count() == 2
    staff.post(page(ApiKey, "revoke", key.pk), CONFIRMED)
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_it_never_gives_a_provider_key_back(staff: Client) -> None:
    project = Project.objects.create(name="Owner")
    fields = {"project": project.pk, "provider": "anthropic", "base_url": ""}
    assert "needs its key" in staff.post(page(ProviderCredential, "add"), fields).content.decode()
    staff.post(page(ProviderCredential, "add"), fields | {"key": "a-vendor-key"})
    credential = ProviderCredential.objects.get()
    assert crypto.decrypt(credential.encrypted_key) == "a-vendor-key"
    url = page(ProviderCredential, "change", credential.pk)
    assert "a-vendor-key" not in staff.get(url).content.decode()
    staff.post(url, fields | {"key": "", "base_url": "https://example.com"})
    credential.refresh_from_db()
    assert credential.base_url == "https://example.com"
    assert crypto.decrypt(credential.encrypted_key) == "a-vendor-key"  # empty keeps it


def test_it_keeps_who_changed_a_network_and_why(staff: Client) -> None:
    make_world(runs=1)
    network = Network.objects.get()
    form = staff.get(page(Network, "change", network.pk)).context["adminform"].form
    fields = {name: form[name].value() for name in form.fields} | {"chain": "", "budget": ""}
    fields |= {"max_iterations": 7, "change_reason": "cheaper", "shared_context": "{}"}
    answer = staff.post(page(Network, "change", network.pk), fields)
    assert answer.status_code == 302, answer.context["errors"]
    last = network.history.first()
    assert (last.max_iterations, last.history_change_reason, last.history_user.username) == (
        7,
        "cheaper",
        "root",
    )
    history = staff.get(reverse("admin:networks_network_history", args=[network.pk])).content.decode()
    assert "cheaper" in history
