"""Agents, the model catalogue, provider credentials and the ledger of model calls."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from networks.models import Network, Project
from web.fields import id_field, ref_field


class Agent(models.Model):
    """A role with a model, a prompt, parameters and capabilities. One of a network is its coordinator."""

    id = id_field("agent")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="agents")
    network = models.ForeignKey(
        Network, null=True, blank=True, on_delete=models.CASCADE, related_name="agents"
    )
    name = models.CharField(max_length=100)
    type = models.CharField(
        max_length=50,
        help_text="coordinator, content, design, analytics, personalization or a type of yours.",
    )
    description = models.CharField(max_length=1000, blank=True)
    model = models.CharField(
        max_length=100, blank=True, help_text="Catalogue id or alias; empty means the first of the chain."
    )
    system_prompt = models.TextField(blank=True)
    parameters = models.JSONField(default=dict, blank=True, help_text="temperature, max_tokens, top_p, …")
    capabilities = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    tools = ArrayField(ref_field(), default=list, blank=True, help_text="Ids of the tools it may call.")
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["project", "-id"])]
        constraints = [
            models.UniqueConstraint(
                fields=["network"], condition=Q(type="coordinator"), name="one_coordinator_a_network"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Tool(models.Model):
    """Something an agent or a workflow node can call. Its secrets are kept apart, encrypted."""

    class Type(models.TextChoices):
        HTTP = "http"
        FUNCTION = "function"
        BUILTIN = "builtin"
        MCP = "mcp"

    class Effect(models.TextChoices):
        READ_ONLY = "read_only"
        IDEMPOTENT = "idempotent"
        UNSAFE = "unsafe"

    id = id_field("tool")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tools")
    name = models.CharField(max_length=64, help_text="What models call it by: letters, digits, _ and -.")
    type = models.CharField(max_length=10, choices=Type.choices)
    description = models.CharField(max_length=2000, blank=True)
    config = models.JSONField(default=dict, blank=True)
    input_schema = models.JSONField(default=dict, blank=True)
    output_schema = models.JSONField(default=dict, blank=True)
    effect = models.CharField(
        max_length=10,
        choices=Effect.choices,
        default=Effect.UNSAFE,
        help_text="Whether a call whose outcome nobody knows may be made again.",
    )
    encrypted_secrets = models.BinaryField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords(excluded_fields=["encrypted_secrets"])

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="tool_project_name")]

    def __str__(self) -> str:
        return self.name


class ToolCall(models.Model):
    """One call of a tool in a step. Written before it is made, settled when it ends; never made twice for a key
    unless the tool says that this does no harm."""

    class State(models.TextChoices):
        STARTED = "started"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        UNKNOWN = "unknown"

    id = id_field("tcall")
    project_id = ref_field()
    tool_id = ref_field()
    agent_id = ref_field(blank=True)
    run_id = ref_field(null=True, blank=True)
    step_id = ref_field(null=True, blank=True)
    call_id = ref_field(null=True, blank=True, help_text="The phone call it was made in.")
    turn = models.PositiveIntegerField(default=0)
    index = models.PositiveIntegerField(default=0, help_text="Its place among the calls of the turn.")
    name = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State.choices, default=State.STARTED)
    idempotency_key = models.CharField(max_length=100, unique=True, db_collation="C")
    arguments = models.JSONField(default=dict)
    output = models.JSONField(null=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=1000, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["step_id", "turn", "index"]), models.Index(fields=["run_id"])]

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"


class CatalogueModel(models.Model):
    """A model of the catalogue: who serves it, what it can do, what it costs, when it goes."""

    id = models.CharField(primary_key=True, max_length=100, db_collation="C")
    provider = models.CharField(max_length=30)
    tier = models.CharField(max_length=20, help_text="standard, small or large")
    aliases = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    capabilities = models.JSONField(default=dict, help_text="context_window, max_output, sampling, …")
    prices = models.JSONField(
        default=dict, help_text="US dollars per million tokens: input, output, cached, date"
    )
    retires_on = models.DateField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["provider", "id"]
        verbose_name = "model"

    def __str__(self) -> str:
        return self.id


class ProviderCredential(models.Model):
    """A project's own key for a provider; it replaces the installation's key for that project."""

    id = id_field("credential")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="provider_credentials")
    provider = models.CharField(max_length=30)
    encrypted_key = models.BinaryField(editable=False)
    base_url = models.URLField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "provider"], name="credential_project_provider")
        ]

    def __str__(self) -> str:
        return f"{self.provider} key of {self.project_id}"


class ModelCall(models.Model):
    """One request to one model provider. Written before it is sent, settled when it ends.

    The first `succeeded` reply of a (step, turn) is the one that counts; later ones are `superseded`.
    `unknown` is a call whose worker died before a reply came: its cost is an estimate.
    """

    class State(models.TextChoices):
        STARTED = "started"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        SUPERSEDED = "superseded"
        UNKNOWN = "unknown"

    id = id_field("mcall")
    project_id = ref_field()
    network_id = ref_field(blank=True)
    agent_id = ref_field(blank=True)
    run_id = ref_field(null=True, blank=True)
    step_id = ref_field(null=True, blank=True)
    call_id = ref_field(null=True, blank=True, help_text="The phone call it was made for.")
    turn = models.PositiveIntegerField(default=0)
    try_number = models.PositiveIntegerField(default=1, help_text="Counts the tries of this turn.")
    chain_pass = models.PositiveIntegerField(
        default=0, help_text="Rises each time the step gave its slot back; a new pass tries the chain anew."
    )
    owner = ref_field(blank=True, help_text="The worker incarnation that sent it.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.STARTED)
    provider = models.CharField(max_length=30)
    model = models.CharField(max_length=100)
    requested_model = models.CharField(max_length=100)
    failure = models.CharField(max_length=30, blank=True)
    message = models.CharField(max_length=500, blank=True)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    reserved = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    cost = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    latency_ms = models.FloatField(null=True, blank=True)
    first_token_ms = models.FloatField(null=True, blank=True)
    provider_request_id = models.CharField(max_length=100, blank=True)
    speculative = models.BooleanField(
        db_default=False, help_text="An answer begun while the caller might go on, and not taken."
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["step_id", "turn"]),
            models.Index(fields=["run_id"]),
            models.Index(
                fields=["call_id"], condition=Q(call_id__isnull=False), name="model_call_phone_call"
            ),
            models.Index(fields=["project_id", "started_at"]),
            models.Index(fields=["agent_id", "-id"]),
            models.Index(fields=["owner"], condition=Q(state="started"), name="model_call_open"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["step_id", "turn"], condition=Q(state="succeeded"), name="one_reply_a_turn"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} ({self.state})"


class ModelCallBody(models.Model):
    """What was sent and what came back, off the ledger's hot row."""

    call = models.OneToOneField(
        ModelCall, primary_key=True, on_delete=models.CASCADE, db_constraint=False, related_name="body"
    )
    request = models.JSONField(null=True)
    reply = models.JSONField(null=True)

    def __str__(self) -> str:
        return self.pk
