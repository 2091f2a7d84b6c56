"""Schedules: workflows that start by the clock."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from tasks.schedules import selectors, services
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import page_query, paginate
from web.problems import Invalid, NotFound
from web.serializers import Body, Boolean, Choice, JsonObject, Text
from web.views import MeshView, created, empty, read_body
from workflows.api.views import check_project, unrestricted
from workflows.models import Schedule, Workflow
from workflows.selectors import access_workflow_for


class ScheduleBody(Body):
    accept_camel_case = True

    project_id = Text(required=False, max_length=40, help_text="The key's own project, if given.")
    workflow_id = Text(max_length=40, help_text="Its published version runs, else its latest valid one.")
    name = Text(required=False, allow_blank=True, max_length=100)
    cron = Text(max_length=100, help_text="Minute, hour, day of the month, month, day of the week.")
    timezone = Text(required=False, max_length=60, help_text="Such as Europe/Berlin. Default UTC.")
    input = JsonObject(required=False, help_text="Of every run.")
    catch_up = Choice(
        choices=Schedule.CatchUp.choices,
        required=False,
        help_text="What becomes of times that were missed: `skip`, `once` (default) or `all`, 100 at most.",
    )
    active = Boolean(required=False)


class ScheduleAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    project_id = serializers.CharField()
    workflow_id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    cron = serializers.CharField()
    timezone = serializers.CharField()
    input = serializers.DictField()
    catch_up = serializers.ChoiceField(choices=Schedule.CatchUp.choices)
    active = serializers.BooleanField()
    next_at = serializers.DateTimeField(allow_null=True)
    last_at = serializers.DateTimeField(allow_null=True, help_text="The last time that got a run.")
    last_run_id = serializers.CharField(allow_null=True)
    last_error = serializers.CharField(allow_blank=True, help_text="Why the last time got none.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ScheduleQuery(page_query(default=50)):  # type: ignore[misc]
    workflow_id = serializers.CharField(required=False, max_length=40)
    active = serializers.BooleanField(required=False, allow_null=True, default=None)


class SchedulesView(MeshView):
    tags = ["Schedules and triggers"]

    @document(answer=ScheduleAnswer(many=True), query=ScheduleQuery, summary="List schedules")
    def get(self, request: Request) -> Response:
        params = ScheduleQuery.read(request._request.GET)
        found = selectors.schedules_for(caller(request))
        if "workflow_id" in params:
            found = found.filter(workflow_id=params["workflow_id"])
        if params["active"] is not None:
            found = found.filter(active=params["active"])
        return paginate(
            found,
            request=request._request,
            params=params,
            shape=lambda schedules: [shape_schedule(schedule) for schedule in schedules],
        )

    @document(answer=ScheduleAnswer, status=201, body=ScheduleBody, summary="Start a workflow by the clock")
    @idempotent
    def post(self, request: Request) -> Response:
        unrestricted(caller(request))
        values = read_body(ScheduleBody, request)
        workflow = _workflow(request, values)
        schedule = services.create_schedule(workflow=workflow, values=values)
        return created(shape_schedule(schedule), f"/api/schedules/{schedule.pk}")


class ScheduleView(MeshView):
    tags = ["Schedules and triggers"]

    @document(answer=ScheduleAnswer, summary="Get a schedule, with the time it is due next")
    def get(self, request: Request, schedule_id: str) -> Response:
        return Response(shape_schedule(selectors.access_schedule_for(caller(request), schedule_id)))

    @document(answer=ScheduleAnswer, body=ScheduleBody, summary="Replace a schedule")
    def put(self, request: Request, schedule_id: str) -> Response:
        return self._update(request, schedule_id, partial=False)

    @document(answer=ScheduleAnswer, body=ScheduleBody, summary="Change a schedule, or switch it on or off")
    def patch(self, request: Request, schedule_id: str) -> Response:
        return self._update(request, schedule_id, partial=True)

    @document(status=204, summary="Remove a schedule; its runs stay")
    def delete(self, request: Request, schedule_id: str) -> HttpResponse:
        services.delete_schedule(schedule=selectors.access_schedule_for(caller(request), schedule_id))
        return empty()

    def _update(self, request: Request, schedule_id: str, *, partial: bool) -> Response:
        schedule = selectors.access_schedule_for(caller(request), schedule_id)
        changes = read_body(ScheduleBody, request, partial=partial)
        if "workflow_id" in changes:
            changes["workflow"] = _workflow(request, changes)
        check_project(caller(request), changes.pop("project_id", None))
        return Response(shape_schedule(services.update_schedule(schedule=schedule, changes=changes)))


def shape_schedule(schedule: Schedule) -> dict[str, Any]:
    """What the API shows of a schedule."""
    shown = {name: getattr(schedule, name) for name in ScheduleAnswer._declared_fields}
    return shown | {"last_run_id": schedule.last_run_id or None}


def _workflow(request: Request, values: dict[str, Any]) -> Workflow:
    """The workflow that a body names, taken out of it."""
    check_project(caller(request), values.pop("project_id", None))
    try:
        return access_workflow_for(caller(request), values.pop("workflow_id"))
    except NotFound:
        raise Invalid("/workflow_id", "There is no such workflow.", "does_not_exist") from None
