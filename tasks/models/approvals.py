"""Decisions that people owe, what is said about them, and the letters that ask for them."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from networks.models import Project
from web.fields import id_field

from .runs import Run
from .steps import Step


class Approval(models.Model):
    """A decision that a person owes to a step. While it is pending the run waits, and its clock stands."""

    class State(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"
        EXPIRED = "expired"
        CANCELLED = "cancelled"

    class OnDeadline(models.TextChoices):
        NONE = ""
        APPROVE = "approve"
        REJECT = "reject"
        ESCALATE = "escalate"

    id = id_field("approval")
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="approvals", db_constraint=False, db_index=False
    )
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals", db_constraint=False)
    step = models.OneToOneField(Step, on_delete=models.CASCADE, related_name="approval", db_constraint=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    instructions = models.TextField(blank=True)
    data = models.JSONField(null=True, blank=True, help_text="What is shown, and edited.")
    form_schema = models.JSONField(default=dict, blank=True)
    approvers = ArrayField(
        models.CharField(max_length=200), default=list, help_text="E-mail addresses of members, or roles."
    )
    deadline_at = models.DateTimeField(null=True, blank=True)
    on_deadline = models.CharField(max_length=10, choices=OnDeadline.choices, default="", blank=True)
    escalate_to = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    edited = models.BooleanField(default=False)
    output = models.JSONField(null=True, blank=True)
    comment = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["project", "state", "-id"]),
            models.Index(fields=["deadline_at"], condition=Q(state="pending"), name="approval_due"),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.state})"


class ApprovalComment(models.Model):
    """What somebody said about an approval."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="comments")
    author = models.CharField(max_length=200)
    text = models.CharField(max_length=2000)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:60]}"


class ApprovalMail(models.Model):
    """A letter that asks one person for one decision: the outbox and the log in one.

    The database puts it down in the transaction that asks for the decision, or names others who may decide.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"
        NEEDLESS = "needless"  # it was decided before, or there is nothing to send letters with

    id = id_field("mail")
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="mails")
    email = models.EmailField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["approval", "email"], name="mail_approval_email")]
        indexes = [models.Index(fields=["next_at"], condition=Q(state="pending"), name="mail_due")]

    def __str__(self) -> str:
        return f"{self.email} ({self.state})"
