"""Links that let one person decide one thing, for a while: signed, so nothing of them is kept."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core import signing
from django.utils import timezone

from tasks.models import Approval

_SALT: Final = "tasks.approving.links"
LIFETIME: Final = timedelta(days=7)


class BadLink(Exception):
    """The link is none of ours, or its time is over."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link says: who may decide what."""

    approval_id: str
    email: str


def link_for(approval: Approval, email: str) -> str:
    """The address at which this person decides, good until the deadline, else for a week."""
    until = approval.deadline_at or timezone.now() + LIFETIME
    token = signing.dumps([approval.pk, email, int(until.timestamp())], salt=_SALT)
    return f"{settings.PUBLIC_BASE_URL}/approve/{token}"


def read_link(token: str) -> Ticket:
    """Raises `BadLink`."""
    try:
        approval_id, email, until = signing.loads(token, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise BadLink("The link is damaged.") from error
    if until < timezone.now().timestamp():
        raise BadLink("The link's time is over.")
    return Ticket(approval_id, email)
