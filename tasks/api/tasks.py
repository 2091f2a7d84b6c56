"""Tasks: created, processed, read, cancelled, retried, rated."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from networks.selectors import access_network_for
from tasks import selectors, services
from tasks.models import Run, Task
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import paginate
from web.problems import Invalid
from web.requests import current_request_id
from web.views import MeshView, created, read_body

from . import shapes
from .runs import events_page
from .serializers import (
    CancelBody,
    EventAnswer,
    EventQuery,
    FeedbackAnswer,
    FeedbackBody,
    NewTaskAnswer,
    ProcessBody,
    RetryBody,
    StartedAnswer,
    TaskAnswer,
    TaskBody,
    TaskDetailAnswer,
    TaskDetailQuery,
    TaskQuery,
)


class TaskMesh(MeshView):
    """What the views of one task share."""

    tags = ["Tasks"]

    def task(self, request: Request, network_id: str, task_id: str) -> Task:
        return selectors.access_task_for(caller(request), network_id, task_id)


class TasksView(MeshView):
    tags = ["Tasks"]

    @document(answer=TaskAnswer(many=True), query=TaskQuery, summary="List a network's tasks")
    def get(self, request: Request, network_id: str) -> Response:
        params = TaskQuery.read(request._request.GET)
        network = access_network_for(caller(request), network_id)
        return paginate(
            selectors.tasks_of(network, params.get("status")),
            request=request._request,
            params=params,
            shape=lambda tasks: [shapes.shape_task(task) for task in tasks],
        )

    @document(
        answer=NewTaskAnswer, status=201, body=TaskBody, conflict=True, summary="Give the network a task"
    )
    @idempotent
    def post(self, request: Request, network_id: str) -> Response:
        network = access_network_for(caller(request), network_id)
        values = read_body(TaskBody, request)
        values.pop("webhook_url", None)
        task = services.create_task(
            network=network, description=values.pop("task"), request_id=current_request_id(), **values
        )
        answer = {
            "task_id": task.pk,
            "id": task.pk,
            "network_id": network_id,
            "status": selectors.status_of(task.run),
            "run_id": task.run_id,
            "created_at": task.created_at,
        }
        return created(answer, _address(task))


class TaskView(TaskMesh):
    @document(answer=TaskDetailAnswer, query=TaskDetailQuery, summary="Get a task; `wait` for its end")
    def get(self, request: Request, network_id: str, task_id: str) -> Response:
        # Waiting itself is done before, by the coroutine that tasks/api/urls.py puts in front.
        TaskDetailQuery.read(request._request.GET)
        return Response(shapes.shape_task_detail(self.task(request, network_id, task_id)))


class ProcessView(TaskMesh):
    @document(answer=StartedAnswer, status=202, body=ProcessBody, conflict=True, summary="Start a task")
    @idempotent
    def post(self, request: Request, network_id: str, task_id: str) -> Response:
        task = self.task(request, network_id, task_id)
        run = services.process_task(
            task=task, request_id=current_request_id(), **read_body(ProcessBody, request)
        )
        return _accepted(task, run, "processing")


class CancelView(TaskMesh):
    @document(answer=StartedAnswer, status=202, body=CancelBody, conflict=True, summary="Cancel a task")
    @idempotent
    def post(self, request: Request, network_id: str, task_id: str) -> Response:
        task = self.task(request, network_id, task_id)
        run = services.cancel_task(
            task=task, request_id=current_request_id(), **read_body(CancelBody, request)
        )
        return _accepted(task, run, "cancelled")


class RetryView(TaskMesh):
    @document(answer=StartedAnswer, status=202, body=RetryBody, conflict=True, summary="Run a task again")
    @idempotent
    def post(self, request: Request, network_id: str, task_id: str) -> Response:
        task = self.task(request, network_id, task_id)
        values = read_body(RetryBody, request)
        run = services.retry(
            task=task,
            from_step=values.get("from_step"),
            input=values.get("input"),
            request_id=current_request_id(),
        )
        return _accepted(task, run, "processing")


class FeedbackView(TaskMesh):
    @document(answer=FeedbackAnswer, status=201, body=FeedbackBody, summary="Rate a result")
    @idempotent
    def post(self, request: Request, network_id: str, task_id: str) -> Response:
        task = self.task(request, network_id, task_id)
        values = read_body(FeedbackBody, request)
        item = services.give_feedback(task=task, key=caller(request), **values)
        answer = {
            "memory_id": item.pk,
            "id": item.pk,
            "task_id": task.pk,
            "network_id": network_id,
            "type": item.type,
            "rating": values["rating"],
            "comment": values.get("comment", ""),
            "created_at": item.created_at,
        }
        return created(answer, f"/api/mesh/networks/{network_id}/memory/{item.pk}")


class EventsView(TaskMesh):
    @document(
        answer=EventAnswer(many=True),
        query=EventQuery,
        summary="A page of a task's events, or with `Accept: text/event-stream` the stream of them",
        extra={(200, "text/event-stream"): {"type": "string"}},
    )
    def get(self, request: Request, network_id: str, task_id: str) -> Response:
        params = EventQuery.read(request._request.GET)
        task = self.task(request, network_id, task_id)
        run_id, seq = position(task.pk, task.run_id, params.get("after"))
        total = task.run.event_seq if task.run else 0
        return events_page(request._request, run_id, seq, params["limit"], total)


def position(task_id: str, latest: str | None, after: str | None) -> tuple[str | None, int]:
    """The run to read and the event to read after. Raises `Invalid` for a mark that is none of this task's."""
    if after is None:
        return latest, 0
    if after.isascii() and after.isdigit() and len(after) <= 9:
        return latest, int(after)
    mark = selectors.parse_position(after)
    if mark is None or not selectors.run_of_task(task_id, mark[0]):
        raise Invalid("/query/after", "Not an event of this task.")
    return mark


def _accepted(task: Task, run: Run, status: str) -> Response:
    answer: dict[str, Any] = {
        "status": status,
        "task_id": task.pk,
        "network_id": task.network_id,
        "run_id": run.pk,
    }
    return Response(answer, status=202, headers={"Location": _address(task)})


def _address(task: Task) -> str:
    return f"/api/mesh/networks/{task.network_id}/tasks/{task.pk}"
