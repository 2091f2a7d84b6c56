"""Reads of webhook endpoints and deliveries."""

from django.db.models import QuerySet

from networks.models import ApiKey
from tasks.models import WebhookDelivery, WebhookEndpoint
from web.problems import NotFound


def endpoints_for(key: ApiKey) -> "QuerySet[WebhookEndpoint]":
    """The endpoints of the key's project; a key restricted to networks sees none, for they tell of all."""
    found = WebhookEndpoint.objects.filter(project_id=key.project_id)
    return found.none() if key.network_ids else found


def access_endpoint_for(key: ApiKey, endpoint_id: str) -> WebhookEndpoint:
    endpoint = endpoints_for(key).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound("There is no such webhook.")
    return endpoint


def deliveries_of(endpoint: WebhookEndpoint, state: str | None = None) -> "QuerySet[WebhookDelivery]":
    """An endpoint's deliveries, the newest first."""
    found = WebhookDelivery.objects.filter(endpoint=endpoint).order_by("-id")
    return found.filter(state=state) if state else found


def access_delivery_for(endpoint: WebhookEndpoint, delivery_id: str) -> WebhookDelivery:
    delivery = deliveries_of(endpoint).filter(pk=delivery_id).first()
    if delivery is None:
        raise NotFound("There is no such delivery.")
    return delivery
