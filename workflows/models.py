"""Workflows, their versions, and what starts them by itself."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from networks.models import Project
from web.fields import id_field, ref_field


class Workflow(models.Model):
    """A graph that people design. Every save that changes what it does makes a version; a run pins one."""

    id = id_field("workflow")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="workflows")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=1000, blank=True)
    revision = models.PositiveIntegerField(default=1, help_text="Rises with every save; the ETag.")
    latest = models.PositiveIntegerField(default=0, help_text="The number of the newest version.")
    published = models.PositiveIntegerField(
        null=True, blank=True, help_text="The version that runs by default."
    )
    layout = models.JSONField(default=dict, blank=True, help_text="Where nodes are drawn: node id to {x, y}.")
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "-id"])]

    def __str__(self) -> str:
        return self.name


class WorkflowVersion(models.Model):
    """An immutable copy of a workflow's graph."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    graph = models.JSONField(help_text="Nodes and edges without positions, as workflows.parsing writes them.")
    hash = models.CharField(max_length=64, db_collation="C")
    valid = models.BooleanField()
    findings = models.JSONField(default=list, blank=True)
    note = models.CharField(max_length=500, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["workflow", "-number"]
        constraints = [models.UniqueConstraint(fields=["workflow", "number"], name="version_workflow_number")]

    def __str__(self) -> str:
        return f"{self.workflow_id} v{self.number}"


class Schedule(models.Model):
    """Starts a workflow by the clock of a time zone."""

    class CatchUp(models.TextChoices):
        SKIP = "skip"  # what was missed is gone
        ONCE = "once"  # one run for all that was missed
        ALL = "all"  # a run for each, the newest hundred at most

    id = id_field("schedule")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="schedules")
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=100, blank=True)
    cron = models.CharField(max_length=100, help_text="Minute, hour, day, month, weekday.")
    timezone = models.CharField(max_length=60, default="UTC")
    input = models.JSONField(default=dict, blank=True)
    catch_up = models.CharField(max_length=4, choices=CatchUp.choices, default=CatchUp.ONCE)
    active = models.BooleanField(default=True)
    next_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)
    last_run_id = ref_field(blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["next_at"], condition=Q(active=True), name="schedule_due")]

    def __str__(self) -> str:
        return self.name or f"{self.cron} {self.timezone}"


class Trigger(models.Model):
    """An address at which something outside starts a workflow, signed by a secret that both know."""

    id = id_field("trigger")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="triggers")
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="triggers")
    name = models.CharField(max_length=100, blank=True)
    token_digest = models.CharField(max_length=64, unique=True, editable=False, db_collation="C")
    encrypted_secret = models.BinaryField(editable=False)
    event_types = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    active = models.BooleanField(default=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name or self.id
