"""Writes of webhook endpoints and deliveries."""

from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from agents import crypto
from networks.models import Project
from tasks.models import WebhookDelivery, WebhookEndpoint
from web.egress import EgressDenied, check_url
from web.ids import new_id
from web.problems import Invalid

from .signing import new_secret

#: What events may be asked for by kind, as `kind.*` or by their whole names.
KINDS = (
    "run", "step", "agent", "tool", "memory", "model", "breaker", "budget", "approval", "call", "turn", "webhook",
    "transcript", "dtmf", "voicemail", "recording", "announcement", "config", "stt", "tts",
)  # fmt: skip


def create_endpoint(*, project: Project, values: Mapping[str, Any]) -> tuple[WebhookEndpoint, str]:
    """Add an endpoint and return it with its signing secret, which is shown once."""
    check(values)
    secret = new_secret()
    endpoint = WebhookEndpoint.objects.create(
        project=project, encrypted_secret=crypto.encrypt(secret), **values
    )
    return endpoint, secret


def update_endpoint(*, endpoint: WebhookEndpoint, changes: Mapping[str, Any]) -> WebhookEndpoint:
    """Change an endpoint. Switching one on again forgets why it was switched off."""
    check(changes)
    for name, value in changes.items():
        setattr(endpoint, name, value)
    if changes.get("active"):
        endpoint.disabled_reason, endpoint.failing_since = "", None
    endpoint.save()
    return endpoint


def rotate_secret(*, endpoint: WebhookEndpoint) -> str:
    """Give an endpoint another secret, at once, and return it."""
    secret = new_secret()
    endpoint.encrypted_secret = crypto.encrypt(secret)
    endpoint.save(update_fields=["encrypted_secret", "updated_at"])
    return secret


def delete_endpoint(*, endpoint: WebhookEndpoint) -> None:
    endpoint.delete()


def send_test(*, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Put down a delivery of a `webhook.test` event."""
    now = timezone.now()
    event_id = new_id("test")
    payload = {
        "type": "webhook.test",
        "timestamp": now.isoformat().replace("+00:00", "Z"),
        "data": {"id": event_id, "project_id": endpoint.project_id, "payload": {"message": "It works."}},
    }
    return WebhookDelivery.objects.create(
        id=_delivery_id(),
        endpoint=endpoint,
        event_type="webhook.test",
        event_id=event_id,
        payload=payload,
        next_at=now,
    )


def redeliver(*, delivery: WebhookDelivery) -> WebhookDelivery:
    """Send a delivery once more, now, whatever became of it; it keeps its id, so receivers know it."""
    with transaction.atomic():
        locked = WebhookDelivery.objects.select_for_update().get(pk=delivery.pk)
        locked.state = WebhookDelivery.State.PENDING
        locked.attempts = 0
        locked.next_at = timezone.now()
        locked.claimed_until = None
        locked.save(update_fields=["state", "attempts", "next_at", "claimed_until"])
    return locked


def _delivery_id() -> str:
    """An id of the scheme by which the database makes them, so that all sort by time together."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT mesh_delivery_id()")
        [made] = cursor.fetchone()
    return str(made)


def check(values: Mapping[str, Any]) -> None:
    """Raise `Invalid` for an address that no request may go to, or an event that there is not."""
    if "url" in values:
        try:
            check_url(values["url"])
        except EgressDenied as error:
            raise Invalid("/url", str(error)) from None
    for index, event in enumerate(values.get("events", ())):
        kind, dot, name = event.partition(".")
        if kind not in KINDS or not dot or not name:
            raise Invalid(f"/events/{index}", f"There are no events {event!r}; kinds are {', '.join(KINDS)}.")
