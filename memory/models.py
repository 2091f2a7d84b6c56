"""The shared memory of a network: typed items with confidence, provenance, lifetime and history."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import MD5

from networks.models import Network, Project
from web.fields import id_field, ref_field


class MemoryType(models.TextChoices):
    FACT = "fact"
    CONTEXT = "context"
    DECISION = "decision"
    FEEDBACK = "feedback"


class MemoryItem(models.Model):
    """Something a network knows. Superseded and expired items are not recalled, but stay in the history."""

    class Source(models.TextChoices):
        CLIENT = "client"
        AGENT = "agent"
        FEEDBACK = "feedback"
        CALLER = "caller"
        TOOL = "tool"

    id = id_field("memory")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="memory_items")
    type = models.CharField(max_length=10, choices=MemoryType.choices, default=MemoryType.FACT)
    content = models.TextField()
    confidence = models.FloatField(default=1.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    metadata = models.JSONField(default=dict, blank=True)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.CLIENT)
    source_agent_id = ref_field(blank=True)
    source_run_id = ref_field(blank=True)
    source_step_id = ref_field(blank=True)
    source_key_id = ref_field(blank=True)
    trusted = models.BooleanField(default=True, help_text="Untrusted items are quoted to agents as hearsay.")
    write_key = models.CharField(
        max_length=80, null=True, blank=True, unique=True, help_text="Makes a step's write happen once."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    supersedes = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="superseded_by"
    )
    superseded_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)
    search = models.GeneratedField(
        expression=SearchVector("content", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )
    content_hash = models.GeneratedField(
        expression=MD5("content"), output_field=models.CharField(max_length=32), db_persist=True
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["network", "-id"], condition=Q(superseded_at__isnull=True), name="memory_live"
            ),
            models.Index(fields=["network", "content_hash"], name="memory_same_content"),
            GinIndex(fields=["search"], name="memory_search"),
            models.Index(
                fields=["expires_at"], condition=Q(expires_at__isnull=False), name="memory_expiring"
            ),
        ]

    def __str__(self) -> str:
        return self.content[:60]


class MemoryRevision(models.Model):
    """What an item was before a change."""

    item = models.ForeignKey(MemoryItem, on_delete=models.CASCADE, related_name="revisions")
    version = models.PositiveIntegerField()
    type = models.CharField(max_length=10, choices=MemoryType.choices)
    content = models.TextField()
    confidence = models.FloatField()
    metadata = models.JSONField(default=dict)
    changed_by = ref_field(blank=True)
    changed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["item", "version"], name="memory_revision_version")]

    def __str__(self) -> str:
        return f"{self.item_id} v{self.version}"
