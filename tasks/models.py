"""Tasks and their execution: runs, steps, attempts, events, and the workers that hold leases.

The engine writes these tables by the hand-written SQL in `tasks/store`; the ORM reads them, and writes
what is not on the hot path. JSON bodies live in tables of their own.
"""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from networks.models import Network, Project
from web.fields import id_field, ref_field


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


class Task(models.Model):
    """What a client asked a network to do. Its state is that of its latest run."""

    id = id_field("task")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="tasks")
    description = models.TextField()
    context = models.JSONField(default=dict, blank=True)
    priority = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(10)], help_text="10 is most urgent."
    )
    deadline = models.DateTimeField(null=True, blank=True)
    output_schema = models.JSONField(null=True, blank=True)
    run = models.OneToOneField(
        "Run",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        help_text="The latest run.",
    )
    request_id = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["network", "-id"]), models.Index(fields=["request_id"])]

    def __str__(self) -> str:
        return self.description[:60]


class Snapshot(models.Model):
    """What a run was started with (agents, prompts, chains, limits), shared by the hash of its content."""

    hash = models.CharField(primary_key=True, max_length=64, db_collation="C")
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.hash[:12]


class Run(models.Model):
    """One execution of a task."""

    id = id_field("run")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="runs")
    planner = models.CharField(max_length=20, default="delegation")
    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.PENDING)
    wait_reason = models.CharField(max_length=12, choices=WaitReason.choices, default="", blank=True)
    priority = models.PositiveSmallIntegerField(default=1)
    event_seq = models.PositiveIntegerField(default=0, help_text="The last event's number.")
    iterations = models.PositiveIntegerField(default=0)
    max_iterations = models.PositiveIntegerField(default=10)
    max_parallel_steps = models.PositiveIntegerField(default=5)
    deadline_at = models.DateTimeField(null=True, blank=True)
    clock_stopped_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when the clock stands (a person or a budget is waited for)."
    )
    cost = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    model_calls = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=1000, blank=True)
    replayed_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replays", db_constraint=False
    )
    request_id = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["task", "-id"]),
            models.Index(fields=["project", "-id"]),
            models.Index(fields=["network", "state"]),
            models.Index(
                fields=["deadline_at"],
                condition=Q(state__in=["pending", "running", "waiting"]),
                name="run_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return self.id


class RunBody(models.Model):
    """A run's input and result."""

    run = models.OneToOneField(
        Run, primary_key=True, on_delete=models.CASCADE, db_constraint=False, related_name="body"
    )
    input = models.JSONField(default=dict)
    output = models.JSONField(null=True)

    def __str__(self) -> str:
        return self.pk


class Step(models.Model):
    """The unit of durable work in a run.

    `fence` rises with every claim and cancel, so a worker that lost the step changes nothing. `crashes`
    counts lost leases, `tries` the step's own retries, `releases` the times it gave its slot back to wait.
    """

    id = id_field("step")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    key = models.CharField(max_length=80, help_text="Its place in the plan; unique in the run.")
    kind = models.CharField(max_length=20)
    version = models.PositiveSmallIntegerField(default=1, help_text="Of the step's schema.")
    label = models.CharField(max_length=200, blank=True)
    agent_id = ref_field(blank=True)
    round = models.PositiveIntegerField(default=0)
    required = models.BooleanField(default=True)
    parents = ArrayField(ref_field(), default=list, help_text="Ids of the steps it waits for.")
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

    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="attempts", db_constraint=False)
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

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_constraint=False)
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


class Worker(models.Model):
    """One incarnation of a worker slot. Steps name it as their owner; its lease keeps them."""

    id = id_field("worker")
    slot = models.CharField(max_length=80, db_collation="C")
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    lease_until = models.DateTimeField()
    started_at = models.DateTimeField()
    draining = models.BooleanField(default=False)
    stale_writes = models.PositiveIntegerField(
        default=0, help_text="Writes dropped because the fence had moved."
    )

    class Meta:
        ordering = ["slot", "-id"]
        indexes = [models.Index(fields=["slot"]), models.Index(fields=["lease_until"])]

    def __str__(self) -> str:
        return self.slot
