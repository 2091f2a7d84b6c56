"""Staff and workflows: versions are published, approvals decided in place, what starts and tells is kept in order."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from agents import crypto
from agents.models import Agent, Tool
from agents.tool_services import create_tool, secrets_of
from meshsite.dashboard import figures
from networks.models import Member, Project
from tasks.models import Approval, Event, Run, Step, WebhookDelivery, WebhookEndpoint
from tasks.triggers.services import create_trigger
from tests.api.approval_world import approver, waiting_approval
from tests.integration.admin_world import log_in, make_starts, make_world, messages_of, page
from workflows.models import Schedule, Trigger, Workflow, WorkflowVersion
from workflows.services import create_workflow

CONFIRMED = {"_form_submitted": "True"}
ANN = "ann@example.com"

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    return log_in()


@pytest.fixture
def project() -> Project:
    return Project.objects.create(name="Acme")


def someone(email: str, *permissions: str) -> Client:
    """A client of staff that may do only this."""
    user = User.objects.create_user(email.partition("@")[0], email, is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


# --- workflows -------------------------------------------------------------------------------------


def test_it_publishes_a_valid_version_and_says_why_another_is_not(staff: Client, project: Project) -> None:
    workflow = make_starts(project)
    staff.post(page(Workflow, "publish", workflow.pk), CONFIRMED | {"note": "The first"})
    workflow.refresh_from_db()
    assert workflow.published == 1
    assert WorkflowVersion.objects.get(workflow=workflow).note == "The first"
    draft = create_workflow(project=project, name="Draft", graph={"nodes": [], "edges": []})
    version = WorkflowVersion.objects.get(workflow=draft)
    answer = staff.post(page(WorkflowVersion, "publish", str(version.pk)), CONFIRMED)
    assert "start" in messages_of(answer)
    draft.refresh_from_db()
    assert draft.published is None


def test_it_shows_a_version_with_its_graph_and_findings(staff: Client, project: Project) -> None:
    graph = {"nodes": [{"id": "begin", "type": "start"}], "edges": []}
    draft = create_workflow(project=project, name="Draft", graph=graph)
    version = WorkflowVersion.objects.get(workflow=draft)
    html = staff.get(page(WorkflowVersion, "change", str(version.pk))).content.decode()
    assert "<td>begin</td>" in html
    assert all(f"({finding['code']})" in html for finding in version.findings)
    assert "invalid" in staff.get(page(Workflow, "change", draft.pk)).content.decode()


def test_it_archives_a_workflow_with_what_starts_it(staff: Client, project: Project) -> None:
    workflow = make_starts(project)
    staff.post(page(Workflow, "archive", workflow.pk), CONFIRMED)
    workflow.refresh_from_db()
    assert workflow.archived_at is not None
    assert not Schedule.objects.get(workflow=workflow).active
    assert not Trigger.objects.get(workflow=workflow).active
    kept = staff.get(page(Workflow), {"archived_at__isempty": "0"})
    assert [row.pk for row in kept.context["cl"].result_list] == [workflow.pk]
    assert not staff.get(page(Workflow), {"archived_at__isempty": "1"}).context["cl"].result_list


def test_it_links_a_version_to_its_runs(staff: Client, project: Project) -> None:
    run = waiting_approval(project).run
    found = staff.get(
        page(Run), {"workflow__id__exact": str(run.workflow_id), "workflow_version__exact": "1"}
    )
    assert [row.pk for row in found.context["cl"].result_list] == [run.pk]
    html = staff.get(page(Run, "change", run.pk)).content.decode()
    assert "Brief v1" in html
    assert page(Approval, "change", run.approvals.get().pk) in html


def test_it_runs_a_workflow_again_from_a_step(staff: Client, project: Project) -> None:
    run = waiting_approval(project).run
    step = run.steps.get(key="ask")
    answer = staff.post(page(Step, "retry_from", step.pk), CONFIRMED)
    assert "still going on" in messages_of(answer)
    staff.post(page(Run, "cancel", run.pk), CONFIRMED)
    for again in (page(Step, "retry_from", step.pk), page(Run, "retry", run.pk)):
        answer = staff.post(again, CONFIRMED)
        new = Run.objects.order_by("-id").first()
        assert new is not None
        assert (new.replayed_from_id, new.source) == (run.pk, "retry")
        assert answer.headers["HX-Redirect"] == page(Run, "change", new.pk)
    assert Run.objects.count() == 3


# --- approvals -------------------------------------------------------------------------------------


def test_it_approves_in_place_as_the_person_who_is_logged_in(project: Project) -> None:
    approver(project, ANN)
    approval = waiting_approval(project)
    ann = someone(ANN, "view_approval", "change_approval")
    assert ann.get(page(Approval, "approve", approval.pk)).status_code == 200
    approval.refresh_from_db()
    assert approval.state == "pending"  # looking decides nothing
    ann.post(page(Approval, "approve", approval.pk), CONFIRMED | {"comment": "Good."})
    approval.refresh_from_db()
    assert (approval.state, approval.decided_by, approval.comment) == ("approved", ANN, "Good.")
    told = Event.objects.get(run=approval.run_id, type="approval.decided")
    assert told.payload["decided_by"] == ANN
    assert LogEntry.objects.filter(object_id=approval.pk, change_message__contains="approve").exists()


def test_it_tells_the_second_who_decided(staff: Client, project: Project) -> None:
    approver(project, ANN)
    approval = waiting_approval(project)
    ann = someone(ANN, "view_approval", "change_approval")
    reject = page(Approval, "reject", approval.pk)
    assert reject in ann.get(page(Approval, "change", approval.pk)).content.decode()
    ann.post(page(Approval, "approve", approval.pk), CONFIRMED)
    assert (
        reject not in ann.get(page(Approval, "change", approval.pk)).content.decode()
    )  # nothing is left to do
    answer = staff.post(reject, CONFIRMED | {"comment": "No."})
    assert f"approved by {ANN}" in messages_of(answer)
    approval.refresh_from_db()
    assert approval.state == "approved"
    assert Event.objects.filter(run=approval.run_id, type="approval.decided").count() == 1


def test_it_edits_before_approving_and_loses_no_edit(staff: Client, project: Project) -> None:
    schema = {"type": "object", "properties": {"budget": {"type": "integer", "maximum": 100}}}
    approval = waiting_approval(project, data={"budget": 90}, form_schema=schema)
    url = page(Approval, "edit", approval.pk)
    assert "&quot;budget&quot;: 90" in staff.get(url).content.decode()
    refused = staff.post(url, CONFIRMED | {"output": '{"budget": 5000}'}).content.decode()
    assert "5000" in refused
    assert "maximum" in refused
    staff.post(url, CONFIRMED | {"output": '{"budget": 80}'})
    approval.refresh_from_db()
    assert (approval.state, approval.edited, approval.output) == ("approved", True, {"budget": 80})
    ended: Any = approval.run.steps.get(key="ask").body.output
    assert (ended["data"], ended["decided_by"]) == ({"budget": 80}, "root@example.com")


def test_it_rejects_with_a_comment(staff: Client, project: Project) -> None:
    approval = waiting_approval(project)
    staff.post(page(Approval, "reject", approval.pk), CONFIRMED | {"comment": "Too dear."})
    run = Run.objects.get(pk=approval.run_id)
    assert (run.state, run.error_code) == ("failed", "approval_rejected")
    assert "Too dear." in run.error_detail


def test_it_asks_others_and_only_members(staff: Client, project: Project) -> None:
    approver(project, "bob@example.com", role="viewer")
    approval = waiting_approval(project)
    url = page(Approval, "reassign", approval.pk)
    assert "no member" in staff.post(url, CONFIRMED | {"approvers": "eve@example.com"}).content.decode()
    staff.post(url, CONFIRMED | {"approvers": "Bob@example.com, owner", "comment": "Please look."})
    approval.refresh_from_db()
    assert approval.approvers == ["bob@example.com", "owner"]
    html = staff.get(page(Approval, "change", approval.pk)).content.decode()
    assert "Please look." in html
    assert "bob@example.com" in html


@pytest.mark.parametrize(
    ("who", "permissions", "status"),
    [
        ("eve@example.com", ("view_approval", "change_approval"), 200),  # is not named
        (ANN, ("view_approval",), 403),  # is named, and may only look here
    ],
)
def test_it_lets_nobody_decide_who_may_not(
    project: Project, who: str, permissions: tuple[str, ...], status: int
) -> None:
    approver(project, ANN)
    approval = waiting_approval(project)
    client = someone(who, *permissions)
    assert client.get(page(Approval, "change", approval.pk)).status_code == 200
    assert client.post(page(Approval, "approve", approval.pk), CONFIRMED).status_code == status
    approval.refresh_from_db()
    assert approval.state == "pending"


def test_it_takes_no_user_name_for_an_address(project: Project) -> None:
    approver(project, ANN)
    approval = waiting_approval(project)
    user = User.objects.create_user(ANN, is_staff=True)  # a name that looks like hers, and no address
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_approval", "change_approval"]))
    client = Client()
    client.force_login(user)
    client.post(page(Approval, "approve", approval.pk), CONFIRMED)
    approval.refresh_from_db()
    assert approval.state == "pending"


# --- webhooks, schedules, triggers -----------------------------------------------------------------


def test_it_shows_a_webhooks_secret_once(staff: Client, project: Project) -> None:
    fields = {"project": project.pk, "url": "https://93.184.216.34/hook", "description": "", "active": "on"}
    assert (
        "no events"
        in staff.post(page(WebhookEndpoint, "add"), fields | {"events": "nonsense"}).content.decode()
    )
    named = fields | {"url": "https://ann:secret@example.com/", "events": ""}
    assert "no user name" in staff.post(page(WebhookEndpoint, "add"), named).content.decode()
    assert not WebhookEndpoint.objects.exists()
    answer = staff.post(page(WebhookEndpoint, "add"), fields | {"events": "run.*,approval.requested"})
    made = WebhookEndpoint.objects.get()
    secret = messages_of(answer).split("copy it now: ")[1].split()[0]
    assert crypto.decrypt(made.encrypted_secret) == secret
    assert made.events == ["run.*", "approval.requested"]
    url = page(WebhookEndpoint, "change", made.pk)
    assert secret in staff.get(url).content.decode()  # the message, this once
    assert secret not in staff.get(url).content.decode()
    rotated = staff.post(page(WebhookEndpoint, "rotate", made.pk), CONFIRMED)
    assert secret not in messages_of(rotated)
    made.refresh_from_db()
    assert crypto.decrypt(made.encrypted_secret) in messages_of(rotated)


def test_it_switches_a_webhook_on_again_and_sends_what_failed(staff: Client, project: Project) -> None:
    make_starts(project)
    WebhookEndpoint.objects.update(
        active=False, disabled_reason="Every delivery failed.", failing_since="2026-01-01T00:00Z"
    )
    endpoint, delivery = WebhookEndpoint.objects.get(), WebhookDelivery.objects.get()
    assert "switched off" in staff.get(page(WebhookEndpoint)).content.decode()
    tiles = {tile["title"]: tile for tile in figures()["tiles"]}
    assert (tiles["Failing webhooks"]["value"], tiles["Failing webhooks"]["alarm"]) == (1, True)
    assert staff.get(tiles["Failing webhooks"]["url"]).context["cl"].result_count == 1
    answer = staff.post(page(WebhookDelivery, "redeliver", delivery.pk), CONFIRMED)
    assert "switched off" in messages_of(answer)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("pending", 0)
    staff.post(page(WebhookEndpoint, "switch_on", endpoint.pk), CONFIRMED)
    endpoint.refresh_from_db()
    assert (endpoint.active, endpoint.disabled_reason, endpoint.failing_since) == (True, "", None)


def test_it_keeps_a_failing_webhook_failing_when_its_text_is_changed(staff: Client, project: Project) -> None:
    make_starts(project)
    WebhookEndpoint.objects.update(failing_since="2026-01-01T00:00Z", url="https://93.184.216.34/hook")
    endpoint = WebhookEndpoint.objects.get()
    fields = {"url": endpoint.url, "description": "Shop", "events": "", "active": "on"}
    assert staff.post(page(WebhookEndpoint, "change", endpoint.pk), fields).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.description, endpoint.failing_since is None) == ("Shop", False)


def test_it_makes_pauses_and_resumes_a_schedule(staff: Client, project: Project) -> None:
    workflow = create_workflow(project=project, name="Brief")
    fields = {
        "workflow": workflow.pk, "name": "Mornings", "cron": "0 9 * * 1-5", "timezone": "Europe/Berlin",
        "input": "{}", "catch_up": "once", "active": "on", "change_reason": "wanted by Ann",
    }  # fmt: skip
    for field, wrong in (("cron", "every day"), ("timezone", "Mars/Base")):
        refused = staff.post(page(Schedule, "add"), fields | {field: wrong})
        assert field in refused.context["adminform"].form.errors
    assert staff.post(page(Schedule, "add"), fields).status_code == 302
    schedule = Schedule.objects.get()
    assert schedule.next_at is not None
    assert schedule.history.first().history_change_reason == "wanted by Ann"
    html = staff.get(page(Schedule, "change", schedule.pk)).content.decode()
    assert html.count("09:00 CE") == 5  # its own clock, summer or winter
    staff.post(page(Schedule, "pause", schedule.pk), CONFIRMED)
    schedule.refresh_from_db()
    assert (schedule.active, schedule.next_at) == (False, None)
    staff.post(page(Schedule), {"action": "resume_selected", "_selected_action": [schedule.pk]})
    schedule.refresh_from_db()
    assert schedule.active
    assert schedule.next_at is not None


def test_it_shows_a_triggers_address_once_and_revokes_it(staff: Client, project: Project) -> None:
    workflow = create_workflow(project=project, name="Brief")
    made, keys = create_trigger(workflow=workflow, values={"name": "Shop"})
    answer = staff.post(page(Trigger, "rotate", made.pk), CONFIRMED)
    assert "/api/hooks/hook_" in messages_of(answer)
    url = page(Trigger, "change", made.pk)
    assert "/api/hooks/hook_" in staff.get(url).content.decode()
    assert "/api/hooks/hook_" not in staff.get(url).content.decode()
    assert Client().post(keys.url, {}, content_type="application/json").status_code == 404  # the old one
    staff.post(page(Trigger, "revoke", made.pk), CONFIRMED)
    made.refresh_from_db()
    assert not made.active
    answer = staff.post(page(Trigger, "add"), {"workflow": workflow.pk, "name": "CRM", "event_types": "a,b"})
    assert "secret whsec_" in messages_of(answer)
    assert Trigger.objects.get(name="CRM").event_types == ["a", "b"]


# --- tools, agents, members ------------------------------------------------------------------------


def tool_fields(project: Project, **changes: Any) -> dict[str, Any]:
    return {
        "project": project.pk, "name": "weather", "type": "http", "description": "", "effect": "unsafe",
        "config": '{"url": "https://example.com/weather"}', "input_schema": "{}", "output_schema": "{}",
    } | changes  # fmt: skip


def test_it_never_gives_a_tools_secret_back(staff: Client, project: Project) -> None:
    secret = {"secret_name": "token", "secret_value": "s3cr3t-of-the-shop"}
    answer = staff.post(page(Tool, "add"), tool_fields(project) | secret | {"change_reason": "new shop"})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    tool = Tool.objects.get()
    assert secrets_of(tool) == {"token": "s3cr3t-of-the-shop"}
    url = page(Tool, "change", tool.pk)
    html = staff.get(url).content.decode()
    assert "token" in html
    assert "s3cr3t" not in html
    history = staff.get(page(Tool, "history", tool.pk)).content.decode()
    assert "new shop" in history
    assert "s3cr3t" not in history
    refused = staff.post(url, tool_fields(project, config="{}") | secret).content.decode()
    assert "s3cr3t" not in refused  # nor when the form comes back
    staff.post(url, tool_fields(project, description="Better"))
    tool.refresh_from_db()
    assert (tool.description, secrets_of(tool)) == ("Better", {"token": "s3cr3t-of-the-shop"})
    staff.post(url, tool_fields(project) | {"forget": ["token"]})
    tool.refresh_from_db()
    assert secrets_of(tool) == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "two words"}, "name"),
        ({"config": '{"url": "https://{host}/"}'}, "config"),
        ({"type": "mcp", "config": '{"command": "rm -rf /"}'}, "config"),
        ({"input_schema": '{"type": "array"}'}, "input_schema"),
        ({"secret_name": "token"}, "secret_value"),
    ],
    ids=str,
)
def test_it_names_what_is_wrong_with_a_tool(
    staff: Client, project: Project, change: dict[str, Any], field: str
) -> None:
    answer = staff.post(page(Tool, "add"), tool_fields(project, **change))
    assert field in answer.context["adminform"].form.errors
    assert not Tool.objects.exists()


def test_it_finds_the_agents_of_projects_and_checks_their_tools(staff: Client) -> None:
    run = make_world(runs=1)
    project = run.project
    own = Agent.objects.create(project=project, name="Copywriter", type="content")
    found = staff.get(page(Agent), {"network__isempty": "1"})
    assert [row.pk for row in found.context["cl"].result_list] == [own.pk]
    other = create_tool(
        project=Project.objects.create(name="Other"),
        values={"name": "clock", "type": "builtin", "config": {"function": "current_time"}},
    )
    fields = {"project": project.pk, "name": "Copywriter", "type": "content", "tools": other.pk}
    fields |= {"parameters": "{}", "metadata": "{}"}
    answer = staff.post(page(Agent, "change", own.pk), fields)
    assert "tools" in answer.context["adminform"].form.errors


def test_it_knows_members_by_their_address(staff: Client, project: Project) -> None:
    fields = {
        "project": project.pk,
        "email": "Root@Example.com",
        "role": "approver",
        "change_reason": "joined",
    }
    assert staff.post(page(Member, "add"), fields).status_code == 302
    member = Member.objects.get(user__username="root")
    assert member.email == "root@example.com"
    assert member.history.first().history_change_reason == "joined"
    again = staff.post(page(Member, "add"), fields)
    assert again.status_code == 200  # said at the form, not an error of the database
    assert Member.objects.count() == 1


def test_it_counts_the_decisions_that_are_owed(staff: Client, project: Project) -> None:
    waiting_approval(project)
    late = waiting_approval(project)
    Approval.objects.filter(pk=late.pk).update(deadline_at="2026-01-01T00:00Z")
    tile = {tile["title"]: tile for tile in figures()["tiles"]}["Pending approvals"]
    assert (tile["value"], tile["alarm"]) == (2, True)
    assert staff.get(tile["url"]).context["cl"].result_count == 2
