"""Sends letters that ask for decisions, in every worker process: claimed, sent without a transaction, written down."""

from datetime import timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from psycopg_pool import AsyncConnectionPool

from tasks.due import DueJob
from tasks.models import Approval, ApprovalMail
from tasks.store.pool import Connection
from tasks.webhooks.schedule import pause_after

from .letters import letter
from .selectors import approval_with_all

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 2.0
AT_ONCE: Final = 20
CLAIM: Final = timedelta(minutes=5)  # after which another worker may send it, should this one have died

_DUE: Final = """
SELECT EXISTS (SELECT 1 FROM tasks_approvalmail
               WHERE state = 'pending' AND next_at <= now() AND (claimed_until IS NULL OR claimed_until < now()))
"""


def mailer(pool: AsyncConnectionPool[Connection]) -> DueJob:
    """Return the job that sends; cancelled, it lets claims lapse."""
    return DueJob(pool, what="letters", question=_DUE, work=send_due, poll_seconds=POLL_SECONDS)


def send_due() -> int:
    """Send the letters that are due, at most `AT_ONCE`; return how many were sent."""
    return sum(_send(mail) for mail in _claim())


def _claim() -> list[ApprovalMail]:
    now = timezone.now()
    with transaction.atomic():
        free = Q(claimed_until=None) | Q(claimed_until__lt=now)
        due = ApprovalMail.objects.select_for_update(skip_locked=True).filter(
            free, state=ApprovalMail.State.PENDING, next_at__lte=now
        )
        mails = list(due.order_by("next_at")[:AT_ONCE])
        ApprovalMail.objects.filter(pk__in=[mail.pk for mail in mails]).update(
            claimed_until=now + CLAIM, attempts=F("attempts") + 1
        )
    return mails


def _send(mail: ApprovalMail) -> bool:
    """Send one letter and write down what became of it."""
    approval = approval_with_all(mail.approval_id)
    if approval is None or approval.state != Approval.State.PENDING:
        _end(mail, ApprovalMail.State.NEEDLESS, "It was decided before.")
        return False
    if not settings.EMAIL_ON:
        _end(mail, ApprovalMail.State.NEEDLESS, "No EMAIL_URL is set.")
        return False
    try:
        letter(approval, mail.email).send()
    except Exception as error:  # smtplib's, sockets', of addresses that cannot be written to
        pause = pause_after(mail.attempts + 1)
        log.warning("a letter was not sent", mail=mail.pk, attempt=mail.attempts + 1, error=str(error)[:200])
        if pause is None:
            _end(mail, ApprovalMail.State.FAILED, str(error))
        else:
            later = timezone.now() + timedelta(seconds=pause)
            ApprovalMail.objects.filter(pk=mail.pk).update(
                next_at=later, claimed_until=None, error=str(error)[:300]
            )
        return False
    _end(mail, ApprovalMail.State.SENT)
    return True


def _end(mail: ApprovalMail, state: str, error: str = "") -> None:
    ApprovalMail.objects.filter(pk=mail.pk).update(
        state=state,
        error=error[:300],
        next_at=None,
        claimed_until=None,
        sent_at=timezone.now() if state == ApprovalMail.State.SENT else None,
    )
