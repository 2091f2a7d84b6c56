"""States of runs and steps, and what they wait for."""

from django.db import models


class RunState(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepState(models.TextChoices):
    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    WAITING_HUMAN = "waiting_human"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class WaitReason(models.TextChoices):
    NONE = ""
    PROVIDER = "provider"
    RATE_LIMIT = "rate_limit"
    BUDGET = "budget"
    APPROVAL = "approval"
    RETRY = "retry"
    RUN = "run"
    CALLER = "caller"
