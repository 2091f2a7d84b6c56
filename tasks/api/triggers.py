"""Triggers of workflows, and the addresses at which they are pulled."""

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from networks.models import Scope
from tasks.triggers import selectors, services
from web import ratelimit
from web.idempotency import answer_once, idempotent
from web.openapi import document
from web.pagination import page_query, paginate
from web.problems import Problem
from web.requests import current_request_id
from web.serializers import Body, Boolean, Text
from web.views import MeshView, created, empty, read_body
from workflows.models import Trigger
from workflows.selectors import access_workflow_for

from .webhooks import NothingBody


class TriggerBody(Body):
    accept_camel_case = True

    name = Text(required=False, allow_blank=True, max_length=100)
    event_types = serializers.ListField(
        child=Text(min_length=1, max_length=100),
        required=False,
        max_length=50,
        help_text="Values of the body's `type` that start it; empty: every body does.",
    )
    active = Boolean(required=False)


class TriggerAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    project_id = serializers.CharField()
    workflow_id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    event_types = serializers.ListField(child=serializers.CharField())
    active = serializers.BooleanField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class NewTriggerAnswer(TriggerAnswer):
    url = serializers.CharField(help_text="Where to POST; shown only now.")
    secret = serializers.CharField(help_text="Signs what is sent there (Standard Webhooks); shown only now.")


class PulledAnswer(serializers.Serializer[Any]):
    run_id = serializers.CharField(allow_null=True, help_text="Null for an event it does not listen to.")


TriggerQuery = page_query(default=50)


class TriggersView(MeshView):
    tags = ["Schedules and triggers"]
    required_scope = Scope.ADMIN

    @document(answer=TriggerAnswer(many=True), query=TriggerQuery, summary="List a workflow's triggers")
    def get(self, request: Request, workflow_id: str) -> Response:
        workflow = access_workflow_for(caller(request), workflow_id)
        return paginate(
            selectors.triggers_of(workflow),
            request=request._request,
            params=TriggerQuery.read(request._request.GET),
            shape=lambda triggers: [shape_trigger(trigger) for trigger in triggers],
        )

    @document(
        answer=NewTriggerAnswer,
        status=201,
        body=TriggerBody,
        summary="Give a workflow an address; shows it and its secret once",
    )
    @idempotent
    def post(self, request: Request, workflow_id: str) -> Response:
        workflow = access_workflow_for(caller(request), workflow_id)
        values = read_body(TriggerBody, request)
        trigger, keys = services.create_trigger(workflow=workflow, values=values)
        return created(_with_keys(trigger, keys), _address(trigger))


class TriggerView(MeshView):
    tags = ["Schedules and triggers"]
    required_scope = Scope.ADMIN

    @document(answer=TriggerAnswer, summary="Get a trigger, without its address and secret")
    def get(self, request: Request, workflow_id: str, trigger_id: str) -> Response:
        return Response(shape_trigger(_trigger(request, workflow_id, trigger_id)))

    @document(answer=TriggerAnswer, body=TriggerBody, summary="Change a trigger, or switch it on or off")
    def patch(self, request: Request, workflow_id: str, trigger_id: str) -> Response:
        trigger = _trigger(request, workflow_id, trigger_id)
        changes = read_body(TriggerBody, request, partial=True)
        return Response(shape_trigger(services.update_trigger(trigger=trigger, changes=changes)))

    @document(status=204, summary="Remove a trigger; its runs stay")
    def delete(self, request: Request, workflow_id: str, trigger_id: str) -> HttpResponse:
        services.delete_trigger(trigger=_trigger(request, workflow_id, trigger_id))
        return empty()


class RotateTriggerView(MeshView):
    tags = ["Schedules and triggers"]
    required_scope = Scope.ADMIN

    @document(answer=NewTriggerAnswer, body=NothingBody, summary="Give a trigger another address and secret")
    @idempotent
    def post(self, request: Request, workflow_id: str, trigger_id: str) -> Response:
        trigger = _trigger(request, workflow_id, trigger_id)
        read_body(NothingBody, request)
        return Response(_with_keys(trigger, services.rotate(trigger=trigger)))


class HookView(MeshView):
    """Where something outside pulls a trigger. It has no key: the address is secret, and the body is signed."""

    tags = ["Schedules and triggers"]
    authentication_classes = ()
    permission_classes = ()

    @document(
        answer=PulledAnswer,
        status=202,
        body=serializers.JSONField(),
        public=True,
        also=(401, 404, 409, 422, 429, 503),
        summary="Start a trigger's workflow; signed by Standard Webhooks, once for each webhook-id",
    )
    def post(self, request: Request, token: str) -> HttpResponseBase:
        trigger = selectors.trigger_by_token(token)
        http = request._request
        http.rate_owner = trigger.pk  # type: ignore[attr-defined]
        ratelimit.spend(http)
        services.verify(trigger=trigger, body=http.body, headers=request.headers)
        message_id = request.headers["webhook-id"]
        if len(message_id) > 255 or not message_id.isascii() or not message_id.isprintable():
            raise Problem("bad_request", "The webhook-id has at most 255 visible ASCII characters.")

        def pull() -> Response:
            run = services.pull(
                trigger=trigger, body=request.data, headers=request.headers, request_id=current_request_id()
            )
            headers = {"Location": f"/api/runs/{run.pk}"} if run else {}
            return Response({"run_id": run.pk if run else None}, status=202, headers=headers)

        return answer_once(request, trigger.pk, message_id, pull, path="/api/hooks/…")


def shape_trigger(trigger: Trigger) -> dict[str, Any]:
    """What the API shows of a trigger."""
    return {name: getattr(trigger, name) for name in TriggerAnswer._declared_fields}


def _with_keys(trigger: Trigger, keys: services.Keys) -> dict[str, Any]:
    return shape_trigger(trigger) | {"url": keys.url, "secret": keys.secret}


def _address(trigger: Trigger) -> str:
    return f"/api/workflows/{trigger.workflow_id}/triggers/{trigger.pk}"


def _trigger(request: Request, workflow_id: str, trigger_id: str) -> Trigger:
    return selectors.access_trigger_for(access_workflow_for(caller(request), workflow_id), trigger_id)
