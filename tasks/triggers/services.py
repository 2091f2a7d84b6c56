"""Writes of triggers, and what their addresses do."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from agents import crypto
from networks.keys import digest
from tasks.models import Run
from tasks.webhooks.signing import new_secret
from tasks.workflow_runs import refuse_workflow_without_a_caller, start_workflow_run
from web.problems import Problem
from workflows.models import Trigger, Workflow
from workflows.selectors import version_to_run

#: Headers that the workflow is shown: what names the event, nothing that lets anybody in.
_SHOWN: Final = re.compile(
    r"content-type|user-agent|webhook-(id|timestamp)|x-([a-z0-9]+-)*(event|delivery|topic|type|source)(-id)?"
)
_LONGEST_HEADER: Final = 500
_USED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Keys:
    """What the other side needs; shown once."""

    url: str
    secret: str


def create_trigger(*, workflow: Workflow, values: Mapping[str, Any]) -> tuple[Trigger, Keys]:
    """Give a workflow an address, and return it with its secret. Raises `Problem` for one that needs a caller."""
    refuse_workflow_without_a_caller(workflow)
    token, secret = _new_token(), new_secret()
    trigger = Trigger.objects.create(
        project_id=workflow.project_id,
        workflow=workflow,
        token_digest=digest(token),
        encrypted_secret=crypto.encrypt(secret),
        **values,
    )
    return trigger, Keys(url_of(token), secret)


def update_trigger(*, trigger: Trigger, changes: Mapping[str, Any]) -> Trigger:
    for name, value in changes.items():
        setattr(trigger, name, value)
    trigger.save(update_fields=list(changes))
    return trigger


def rotate(*, trigger: Trigger) -> Keys:
    """Give a trigger another address and another secret, at once."""
    token, secret = _new_token(), new_secret()
    trigger.token_digest, trigger.encrypted_secret = digest(token), crypto.encrypt(secret)
    trigger.save(update_fields=["token_digest", "encrypted_secret"])
    return Keys(url_of(token), secret)


def delete_trigger(*, trigger: Trigger) -> None:
    trigger.delete()


def url_of(token: str) -> str:
    return f"{settings.PUBLIC_BASE_URL}/api/hooks/{token}"


def verify(*, trigger: Trigger, body: bytes, headers: Mapping[str, str]) -> None:
    """Raise `Problem` (bad_signature) unless the body was signed by the trigger's secret in the last five minutes."""
    try:
        Webhook(crypto.decrypt(trigger.encrypted_secret)).verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as error:
        raise _bad_signature(str(error)) from None
    except ValueError:  # no base64, no comma
        raise _bad_signature("The signature cannot be read.") from None


@transaction.atomic
def pull(*, trigger: Trigger, body: Any, headers: Mapping[str, str], request_id: str = "") -> Run | None:
    """Start the trigger's workflow with {body, headers}; None for an event that it does not listen to."""
    now = timezone.now()
    if trigger.last_used_at is None or trigger.last_used_at < now - _USED_EVERY:
        Trigger.objects.filter(pk=trigger.pk).update(last_used_at=now)
    if trigger.event_types and not (isinstance(body, Mapping) and body.get("type") in trigger.event_types):
        return None
    workflow = trigger.workflow
    return start_workflow_run(
        project=workflow.project,
        version=version_to_run(workflow),
        input={"body": body, "headers": _shown(headers)},
        source="trigger",
        request_id=request_id,
    )


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    lowered = {name.lower(): value[:_LONGEST_HEADER] for name, value in headers.items()}
    return {name: value for name, value in sorted(lowered.items()) if _SHOWN.fullmatch(name)}


def _new_token() -> str:
    return "hook_" + secrets.token_urlsafe(32)


def _bad_signature(detail: str) -> Problem:
    return Problem("bad_signature", detail, headers={"WWW-Authenticate": "StandardWebhooks"})
