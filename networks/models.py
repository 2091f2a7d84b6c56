"""The tenant boundary: projects, their API keys, and the networks of agents they own."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from web.fields import id_field


class Project(models.Model):
    """A tenant. Owns everything below it; nothing crosses projects."""

    id = id_field("project")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=1000, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    chain = ArrayField(
        models.CharField(max_length=100),
        default=list,
        blank=True,
        help_text="Models in the order they are tried; empty means the installation's default chain.",
    )
    weight = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="Share of the workers under load."
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Limit of each API key; empty means the installation's default."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    """A person's part in a project. Approvals name members by e-mail address or by role."""

    class Role(models.TextChoices):
        OWNER = "owner"
        EDITOR = "editor"
        APPROVER = "approver"
        VIEWER = "viewer"

    id = id_field("member")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="memberships"
    )
    email = models.EmailField(help_text="In lower case.")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["project", "email"]
        constraints = [models.UniqueConstraint(fields=["project", "email"], name="member_project_email")]

    def __str__(self) -> str:
        return f"{self.email} ({self.role})"


class Scope(models.TextChoices):
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    VOICE = "voice"


class ApiKey(models.Model):
    """A credential of one project, or of the installation when it has no project. Only its hash is kept."""

    id = id_field("key")
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, help_text="The first characters, to recognise the key by.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope.choices), default=list)
    network_ids = ArrayField(
        models.CharField(max_length=40), default=list, blank=True, help_text="Empty means every network."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Network(models.Model):
    """A set of agents with one shared memory and limits."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        ARCHIVED = "archived"

    id = id_field("network")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="networks")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=1000, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    shared_context = models.JSONField(default=dict, blank=True)
    max_iterations = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    timeout_seconds = models.PositiveIntegerField(
        default=300, validators=[MinValueValidator(1), MaxValueValidator(86_400)]
    )
    max_parallel_steps = models.PositiveSmallIntegerField(
        default=5, validators=[MinValueValidator(1), MaxValueValidator(64)]
    )
    budget = models.DecimalField(
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="US dollars that one run may spend; at the cap the run waits until it is raised.",
    )
    chain = ArrayField(
        models.CharField(max_length=100),
        default=list,
        blank=True,
        help_text="Models in the order they are tried; empty means the project's chain.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "-id"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(budget__isnull=True) | Q(budget__gt=0), name="network_budget_gt_0"
            )
        ]

    def __str__(self) -> str:
        return self.name
