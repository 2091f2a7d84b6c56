"""Tasks and their runs, with what a run was started with."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from networks.models import Network, Project
from web.fields import id_field, ref_field
from workflows.models import Workflow

from .states import RunState, WaitReason


class Task(models.Model):
    """What a client asked a network to do. Its state is that of its latest run."""

    id = id_field("task")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="tasks", db_index=False)
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
    """One execution, of a task or of a version of a workflow."""

    id = id_field("run")
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    network = models.ForeignKey(
        Network,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    task = models.ForeignKey(
        Task, null=True, blank=True, on_delete=models.CASCADE, related_name="runs", db_index=False
    )
    workflow = models.ForeignKey(
        Workflow,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="runs",
        db_constraint=False,
        db_index=False,
    )
    workflow_version = models.PositiveIntegerField(null=True, blank=True)
    parent_step_id = ref_field(
        null=True, blank=True, help_text="The step of another run that waits for this one."
    )
    source = models.CharField(
        max_length=20,
        blank=True,
        db_default="",
        default="",
        help_text="What started a workflow: api, schedule, trigger, step, call, retry.",
    )
    planner = models.CharField(max_length=20, default="delegation")
    snapshot = models.ForeignKey(
        Snapshot, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
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
            models.Index(fields=["workflow", "-id"], condition=~Q(workflow=None), name="run_workflow"),
            models.Index(
                fields=["parent_step_id"], condition=~Q(parent_step_id=None), name="run_parent_step"
            ),
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
