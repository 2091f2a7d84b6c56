"""What a letter that asks for a decision says."""

import json
from typing import Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone

from tasks.models import Approval

from .links import link_for

_LONGEST_DATA: Final = 2000


def subject_of(approval: Approval) -> str:
    """One line, whatever the names hold."""
    return " ".join(f"Your decision is asked for: {title_of(approval)}".split())[:150]


def title_of(approval: Approval) -> str:
    """What is to be decided, in a few words."""
    workflow = approval.run.workflow
    about = workflow.name if workflow else (approval.run.task.description[:60] if approval.run.task else "")
    return f"{about} – {approval.step.label}" if about else approval.step.label


def letter(approval: Approval, email: str) -> EmailMultiAlternatives:
    """The letter to one approver, with the link by which this person decides."""
    shown = json.dumps(approval.data, indent=2, ensure_ascii=False) if approval.data is not None else ""
    context = {
        "title": title_of(approval),
        "project": approval.project.name,
        "instructions": approval.instructions,
        "data": shown[:_LONGEST_DATA] + ("\n…" if len(shown) > _LONGEST_DATA else ""),
        "link": link_for(approval, email),
        "deadline": approval.deadline_at and timezone.localtime(approval.deadline_at),
        "on_deadline": approval.on_deadline,
        "signed_by": settings.PUBLIC_BASE_URL,
    }
    message = EmailMultiAlternatives(
        subject_of(approval), render_to_string("tasks/approval_mail.txt", context), to=[email]
    )
    message.attach_alternative(render_to_string("tasks/approval_mail.html", context), "text/html")
    message.extra_headers["Auto-Submitted"] = "auto-generated"
    return message
