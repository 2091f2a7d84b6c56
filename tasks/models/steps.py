"""Steps, their attempts, and the log of events."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from networks.models import Project
from web.fields import id_field, ref_field

from .runs import Run
from .states import StepState, WaitReason


class Step(models.Model):
    """The unit of durable work in a run.

    `fence` rises with every claim and cancel, so a worker that lost the step changes nothing. `crashes`
    counts lost leases, `tries` the step's own retries, `releases` the times it gave its slot back to wait.
    """

    id = id_field("step")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    key = models.CharField(max_length=80, help_text="Its place in the plan; unique in the run.")
    kind = models.CharField(max_length=20)
    version = models.PositiveSmallIntegerField(default=1, help_text="Of the step's schema.")
    label = models.CharField(max_length=200, blank=True)
    agent_id = ref_field(blank=True)
    round = models.PositiveIntegerField(default=0)
    required = models.BooleanField(default=True)
    parents = ArrayField(ref_field(), default=list, help_text="Ids of the steps it waits for.")
    taken = ArrayField(
        models.CharField(max_length=200),
        null=True,
        blank=True,
        help_text="Edges of a workflow that it took at its end, by id.",
    )
    state = models.CharField(max_length=13, choices=StepState.choices, default=StepState.PENDING)
    wait_reason = models.CharField(max_length=12, choices=WaitReason.choices, default="", blank=True)
    rank = models.DateTimeField(
        help_text="Queue order: the time it became ready, less 30 s a priority point."
    )
    run_after = models.DateTimeField(null=True, blank=True, help_text="Not before this time.")
    owner = ref_field(blank=True, help_text="The worker incarnation that holds it.")
    fence = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    releases = models.PositiveIntegerField(default=0)
    deadline_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="step_run_key")]
        indexes = [
            models.Index(fields=["project", "rank"], condition=Q(state="ready"), name="step_ready"),
            models.Index(fields=["owner"], condition=Q(state="running"), name="step_running"),
            models.Index(fields=["run_after"], condition=Q(state="waiting"), name="step_waiting"),
        ]

    def __str__(self) -> str:
        return self.label or self.key


class StepBody(models.Model):
    """What a step was given, the frozen context it works on, and what it returned."""

    step = models.OneToOneField(
        Step, primary_key=True, on_delete=models.CASCADE, db_constraint=False, related_name="body"
    )
    input = models.JSONField(default=dict)
    context = models.JSONField(
        null=True, help_text="Written once, by the first attempt; every retry sends the same."
    )
    output = models.JSONField(null=True)
    writes = models.JSONField(null=True, help_text="What a workflow's step added to the run's context.")

    def __str__(self) -> str:
        return self.pk


class Attempt(models.Model):
    """One try of a step, written when it ends."""

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        RETRIED = "retried"
        RELEASED = "released"
        LEASE_LOST = "lease_lost"
        CANCELLED = "cancelled"

    step = models.ForeignKey(
        Step, on_delete=models.CASCADE, related_name="attempts", db_constraint=False, db_index=False
    )
    fence = models.PositiveIntegerField()
    worker = models.CharField(max_length=60)
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    detail = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["step", "fence"], name="attempt_step_fence")]

    def __str__(self) -> str:
        return f"{self.step_id} #{self.fence}: {self.outcome}"


class Event(models.Model):
    """One line of a run's append-only, gap-free log."""

    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="events", db_constraint=False, db_index=False
    )
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=40)
    step_id = ref_field(null=True, blank=True)
    payload = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="event_run_seq")]

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"
