"""Webhooks: endpoints, their deliveries, a test."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from networks.models import Scope
from tasks.models import WebhookDelivery, WebhookEndpoint
from tasks.webhooks import selectors, services
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import page_query, paginate
from web.problems import NotFound, Problem
from web.serializers import Body, Boolean, Choice, Text
from web.views import MeshView, created, empty, read_body


class WebhookBody(Body):
    accept_camel_case = True

    project_id = Text(required=False, max_length=40, help_text="The key's own project, if given.")
    url = Text(min_length=8, max_length=1000)
    description = Text(required=False, allow_blank=True, max_length=200)
    events = serializers.ListField(
        child=Text(min_length=1, max_length=60),
        required=False,
        max_length=50,
        help_text="`run.completed`, `approval.*`, …; empty: every event.",
    )
    active = Boolean(required=False)


class WebhookAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    project_id = serializers.CharField()
    url = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    events = serializers.ListField(child=serializers.CharField())
    active = serializers.BooleanField()
    disabled_reason = serializers.CharField(allow_blank=True, help_text="Why it was switched off by itself.")
    failing_since = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class NewWebhookAnswer(WebhookAnswer):
    secret = serializers.CharField(help_text="Signs the deliveries (Standard Webhooks); shown only now.")


class SecretAnswer(serializers.Serializer[Any]):
    secret = serializers.CharField()


class DeliveryAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    event_id = serializers.CharField(help_text="Also the `webhook-id`; the same however often it is sent.")
    event_type = serializers.CharField()
    state = serializers.ChoiceField(choices=WebhookDelivery.State.choices)
    attempts = serializers.IntegerField()
    status = serializers.IntegerField(allow_null=True, help_text="Of the last answer.")
    error = serializers.CharField(allow_blank=True)
    response = serializers.CharField(allow_blank=True)
    payload = serializers.DictField()
    next_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True)


class NothingBody(Body):
    """An empty object."""


WebhookQuery = page_query(default=50)


class DeliveryQuery(page_query(default=50)):  # type: ignore[misc]
    state = Choice(choices=WebhookDelivery.State.choices, required=False)


class WebhooksView(MeshView):
    tags = ["Webhooks"]
    required_scope = Scope.ADMIN

    @document(answer=WebhookAnswer(many=True), query=WebhookQuery, summary="List webhooks")
    def get(self, request: Request) -> Response:
        return paginate(
            selectors.endpoints_for(caller(request)),
            request=request._request,
            params=WebhookQuery.read(request._request.GET),
            shape=lambda endpoints: [shape_endpoint(endpoint) for endpoint in endpoints],
        )

    @document(
        answer=NewWebhookAnswer, status=201, body=WebhookBody, summary="Add a webhook; shows its secret once"
    )
    @idempotent
    def post(self, request: Request) -> Response:
        key = caller(request)
        if key.network_ids:
            raise Problem(
                "forbidden", "The key is restricted to networks; webhooks tell of the whole project."
            )
        values = _values(request, read_body(WebhookBody, request))
        assert key.project is not None
        endpoint, secret = services.create_endpoint(project=key.project, values=values)
        return created(shape_endpoint(endpoint) | {"secret": secret}, f"/api/webhooks/{endpoint.pk}")


class WebhookView(MeshView):
    tags = ["Webhooks"]
    required_scope = Scope.ADMIN

    @document(answer=WebhookAnswer, summary="Get a webhook, without its secret")
    def get(self, request: Request, webhook_id: str) -> Response:
        return Response(shape_endpoint(selectors.access_endpoint_for(caller(request), webhook_id)))

    @document(answer=WebhookAnswer, body=WebhookBody, summary="Change a webhook, or switch it on again")
    def patch(self, request: Request, webhook_id: str) -> Response:
        endpoint = selectors.access_endpoint_for(caller(request), webhook_id)
        changes = _values(request, read_body(WebhookBody, request, partial=True))
        return Response(shape_endpoint(services.update_endpoint(endpoint=endpoint, changes=changes)))

    @document(status=204, summary="Remove a webhook and its deliveries")
    def delete(self, request: Request, webhook_id: str) -> HttpResponse:
        services.delete_endpoint(endpoint=selectors.access_endpoint_for(caller(request), webhook_id))
        return empty()


class RotateSecretView(MeshView):
    tags = ["Webhooks"]
    required_scope = Scope.ADMIN

    @document(answer=SecretAnswer, body=NothingBody, summary="Give a webhook another secret")
    @idempotent
    def post(self, request: Request, webhook_id: str) -> Response:
        endpoint = selectors.access_endpoint_for(caller(request), webhook_id)
        read_body(NothingBody, request)
        return Response({"secret": services.rotate_secret(endpoint=endpoint)})


class TestWebhookView(MeshView):
    tags = ["Webhooks"]
    required_scope = Scope.ADMIN

    @document(answer=DeliveryAnswer, status=202, body=NothingBody, summary="Send a test event")
    @idempotent
    def post(self, request: Request, webhook_id: str) -> Response:
        endpoint = selectors.access_endpoint_for(caller(request), webhook_id)
        read_body(NothingBody, request)
        return Response(shape_delivery(services.send_test(endpoint=endpoint)), status=202)


class DeliveriesView(MeshView):
    tags = ["Webhooks"]
    required_scope = Scope.ADMIN

    @document(
        answer=DeliveryAnswer(many=True), query=DeliveryQuery, summary="List deliveries, the newest first"
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        endpoint = selectors.access_endpoint_for(caller(request), webhook_id)
        params = DeliveryQuery.read(request._request.GET)
        return paginate(
            selectors.deliveries_of(endpoint, params.get("state")),
            request=request._request,
            params=params,
            shape=lambda deliveries: [shape_delivery(delivery) for delivery in deliveries],
        )


class RedeliverView(MeshView):
    tags = ["Webhooks"]
    required_scope = Scope.ADMIN

    @document(answer=DeliveryAnswer, status=202, body=NothingBody, summary="Send a delivery once more")
    @idempotent
    def post(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        endpoint = selectors.access_endpoint_for(caller(request), webhook_id)
        delivery = selectors.access_delivery_for(endpoint, delivery_id)
        read_body(NothingBody, request)
        return Response(shape_delivery(services.redeliver(delivery=delivery)), status=202)


def shape_endpoint(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """What the API shows of an endpoint."""
    return {name: getattr(endpoint, name) for name in WebhookAnswer._declared_fields}


def shape_delivery(delivery: WebhookDelivery) -> dict[str, Any]:
    """What the API shows of a delivery."""
    return {name: getattr(delivery, name) for name in DeliveryAnswer._declared_fields}


def _values(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    values = dict(body)
    project_id = values.pop("project_id", None)
    if project_id is not None and project_id != caller(request).project_id:
        raise NotFound("There is no such project.")
    return values
