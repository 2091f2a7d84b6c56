"""Runs, of workflows and of tasks: started, listed, read, cancelled, run again, compared."""

from typing import Any

from django.http import HttpRequest
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from tasks import run_selectors, run_services, selectors
from tasks.models import Run
from tasks.workflow_runs import start_workflow_run
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import headers, page_query, paginate
from web.problems import Invalid
from web.requests import current_request_id
from web.serializers import Body, Integer, JsonObject, Query, Text
from web.views import MeshView, read_body
from workflows.selectors import access_workflow_for, version_to_run

from .run_shapes import shape_comparison, shape_run, shape_run_detail
from .serializers import STEP_STATUSES, CancelBody, ErrorAnswer, EventAnswer, EventQuery, UsageAnswer


class StartBody(Body):
    accept_camel_case = True

    input = JsonObject(required=False, help_text="What the start node is given.")
    version = Integer(
        required=False, min_value=1, help_text="Default: the published one, else the latest valid."
    )
    priority = Integer(required=False, min_value=1, max_value=10, help_text="10 is most urgent. Default 1.")
    timeout_seconds = Integer(required=False, min_value=1, max_value=30 * 86_400)


class RetryRunBody(Body):
    accept_camel_case = True

    from_step_id = Text(
        required=False,
        allow_null=True,
        max_length=40,
        help_text="What ended before this step is reused and not paid again.",
    )
    input = JsonObject(
        required=False, allow_null=True, help_text="Another input; of a task, {description, context}."
    )


class RunStartedAnswer(serializers.Serializer[Any]):
    run_id = serializers.CharField()
    status = serializers.ChoiceField(choices=run_selectors.RUN_STATUSES)


class RunAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    run_id = serializers.CharField(help_text="The same as `id`.")
    project_id = serializers.CharField()
    kind = serializers.ChoiceField(choices=["workflow", "task"])
    workflow_id = serializers.CharField(allow_null=True)
    workflow_version = serializers.IntegerField(allow_null=True)
    task_id = serializers.CharField(allow_null=True)
    network_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=run_selectors.RUN_STATUSES)
    wait_reason = serializers.CharField(allow_null=True, help_text="What an unfinished run waits for.")
    source = serializers.CharField(help_text="What started it: api, schedule, trigger, step, call, retry.")  # type: ignore[assignment]
    priority = serializers.IntegerField()
    error = ErrorAnswer(allow_null=True)
    usage = UsageAnswer()
    cost = serializers.FloatField(help_text="US dollars.")
    replayed_from = serializers.CharField(allow_null=True, help_text="The run that this one repeats.")
    parent_step_id = serializers.CharField(
        allow_null=True, help_text="The step of another run that waits for it."
    )
    request_id = serializers.CharField(allow_blank=True)
    event_seq = serializers.IntegerField(help_text="The number of its last event.")
    deadline = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField()


class StepAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    key = serializers.CharField(help_text="The node, and inside loops the rounds; unique in the run.")
    node_id = serializers.CharField()
    node_type = serializers.CharField()
    rounds = serializers.ListField(child=serializers.IntegerField())
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    agent_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=STEP_STATUSES)
    wait_reason = serializers.CharField(allow_null=True)
    input = serializers.JSONField()
    output = serializers.JSONField(allow_null=True)
    writes = serializers.JSONField(allow_null=True, help_text="What it added to the run's context.")
    error = ErrorAnswer(allow_null=True)
    attempt = serializers.IntegerField(help_text="Which try it is; 0 before the first.")
    parent_step_ids = serializers.ListField(child=serializers.CharField())
    taken_edge_ids = serializers.ListField(child=serializers.CharField())
    approval_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class RunDetailAnswer(RunAnswer):
    input = serializers.JSONField()
    output = serializers.JSONField(allow_null=True)
    models_used = serializers.ListField(child=serializers.CharField())
    steps = StepAnswer(many=True)


class ValuePairAnswer(serializers.Serializer[Any]):
    changed = serializers.BooleanField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ComparedStepAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    node_type = serializers.CharField()
    status = serializers.ChoiceField(choices=STEP_STATUSES)
    output = serializers.JSONField(allow_null=True)
    error = ErrorAnswer(allow_null=True)
    seconds = serializers.FloatField(allow_null=True)


class StepPairAnswer(serializers.Serializer[Any]):
    key = serializers.CharField()
    change = serializers.ChoiceField(choices=["same", "changed", "added", "removed"])
    before = ComparedStepAnswer(allow_null=True)
    after = ComparedStepAnswer(allow_null=True)


class ComparisonAnswer(serializers.Serializer[Any]):
    before = RunAnswer()
    after = RunAnswer()
    input = ValuePairAnswer()
    output = ValuePairAnswer()
    steps = StepPairAnswer(many=True)


class WorkflowRunQuery(page_query(default=50)):  # type: ignore[misc]
    status = serializers.ChoiceField(choices=run_selectors.STATUS_FILTERS, required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
    source = serializers.ChoiceField(choices=run_selectors.SOURCES, required=False)


class RunQuery(WorkflowRunQuery):
    workflow_id = serializers.CharField(required=False, max_length=40)
    task_id = serializers.CharField(required=False, max_length=40)
    network_id = serializers.CharField(required=False, max_length=40)
    parent_step_id = serializers.CharField(required=False, max_length=40)


class RunDetailQuery(Query):
    wait = serializers.FloatField(
        required=False, min_value=0, max_value=60, help_text="Seconds to wait for the run to end."
    )


class WorkflowRunsView(MeshView):
    tags = ["Runs"]

    @document(answer=RunAnswer(many=True), query=WorkflowRunQuery, summary="List a workflow's runs")
    def get(self, request: Request, workflow_id: str) -> Response:
        workflow = access_workflow_for(caller(request), workflow_id)
        runs = run_selectors.runs_for(caller(request)).filter(workflow=workflow)
        return _page(request, runs, WorkflowRunQuery.read(request._request.GET))

    @document(answer=RunStartedAnswer, status=202, body=StartBody, conflict=True, summary="Run a workflow")
    @idempotent
    def post(self, request: Request, workflow_id: str) -> Response:
        workflow = access_workflow_for(caller(request), workflow_id)
        values = read_body(StartBody, request)
        run = start_workflow_run(
            project=workflow.project,
            version=version_to_run(workflow, values.get("version")),
            input=values.get("input", {}),
            priority=values.get("priority", 1),
            timeout_seconds=values.get("timeout_seconds"),
            request_id=current_request_id(),
        )
        return _accepted(run)


class RunsView(MeshView):
    tags = ["Runs"]

    @document(
        answer=RunAnswer(many=True), query=RunQuery, summary="List runs of workflows and tasks, newest first"
    )
    def get(self, request: Request) -> Response:
        params = RunQuery.read(request._request.GET)
        return _page(request, run_selectors.runs_for(caller(request)), params)


class RunView(MeshView):
    tags = ["Runs"]

    @document(
        answer=RunDetailAnswer, query=RunDetailQuery, summary="Get a run with its steps; `wait` for its end"
    )
    def get(self, request: Request, run_id: str) -> Response:
        # Waiting itself is done before, by the coroutine that tasks/api/urls.py puts in front.
        RunDetailQuery.read(request._request.GET)
        return Response(shape_run_detail(run_selectors.access_run_for(caller(request), run_id)))


class CancelRunView(MeshView):
    tags = ["Runs"]

    @document(answer=RunStartedAnswer, status=202, body=CancelBody, conflict=True, summary="Cancel a run")
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        run = run_selectors.access_run_for(caller(request), run_id)
        values = read_body(CancelBody, request)
        return _accepted(run_services.cancel(run=run, reason=values.get("reason", "")))


class RetryRunView(MeshView):
    tags = ["Runs"]

    @document(
        answer=RunStartedAnswer,
        status=202,
        body=RetryRunBody,
        conflict=True,
        summary="Run it again, from a step or with another input",
    )
    @idempotent
    def post(self, request: Request, run_id: str) -> Response:
        run = run_selectors.access_run_for(caller(request), run_id)
        values = read_body(RetryRunBody, request)
        return _accepted(run_services.retry(run=run, request_id=current_request_id(), **values))


class CompareRunsView(MeshView):
    tags = ["Runs"]

    @document(answer=ComparisonAnswer, summary="Compare two runs step by step")
    def get(self, request: Request, run_id: str, other_run: str) -> Response:
        before, after = (run_selectors.access_run_for(caller(request), id_) for id_ in (run_id, other_run))
        return Response(shape_comparison(before, after))


class RunEventsView(MeshView):
    tags = ["Runs"]

    @document(
        answer=EventAnswer(many=True),
        query=EventQuery,
        summary="A page of a run's events, or with `Accept: text/event-stream` the stream of them",
        extra={(200, "text/event-stream"): {"type": "string"}},
    )
    def get(self, request: Request, run_id: str) -> Response:
        params = EventQuery.read(request._request.GET)
        run = run_selectors.access_run_for(caller(request), run_id)
        seq = position_in(run.pk, params.get("after"))
        return events_page(request._request, run.pk, seq, params["limit"], run.event_seq)


def events_page(request: HttpRequest, run_id: str | None, seq: int, limit: int, total: int) -> Response:
    """The next events of a run after `seq`, with a link to those that follow."""
    events = selectors.events_after(run_id, seq, limit + 1) if run_id else []
    more, events = len(events) > limit, events[:limit]
    links = {"after": f"{run_id}:{events[-1].seq}", "limit": str(limit)} if more else None
    answer = [selectors.event_data(event) for event in events]
    return Response(answer, headers=headers(request, total, links))


def position_in(run_id: str, after: str | None) -> int:
    """The number of the event to read after. Raises `Invalid` for a mark that is none of this run's."""
    if after is None:
        return 0
    if after.isascii() and after.isdigit() and len(after) <= 9:
        return int(after)
    mark = selectors.parse_position(after)
    if mark is None or mark[0] != run_id:
        raise Invalid("/query/after", "Not an event of this run.")
    return mark[1]


def _page(request: Request, runs: Any, params: dict[str, Any]) -> Response:
    return paginate(
        run_selectors.filtered(runs, params),
        request=request._request,
        params=params,
        shape=lambda found: [shape_run(run) for run in found],
    )


def _accepted(run: Run) -> Response:
    answer = {"run_id": run.pk, "status": selectors.status_of(run)}
    return Response(answer, status=202, headers={"Location": f"/api/runs/{run.pk}"})
