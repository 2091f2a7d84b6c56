"""Voice sessions, telephone numbers, phone calls with their turns and events, and the processes that take calls."""

from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from networks.models import Network, Project
from web.fields import id_field, ref_field


class PhoneNumber(models.Model):
    """A number callers dial, and the network and config that answer it."""

    id = id_field("number")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="phone_numbers")
    network = models.ForeignKey(
        Network, null=True, blank=True, on_delete=models.CASCADE, related_name="phone_numbers"
    )
    number = models.CharField(max_length=20, unique=True, help_text="E.164, for example +15005550006.")
    label = models.CharField(max_length=100, blank=True)
    config = models.JSONField(
        default=dict, blank=True, help_text="A session config; empty means the defaults with this network."
    )
    sip_uri = models.CharField(
        max_length=200, blank=True, help_text="When set, callers are handed to this SIP address instead."
    )
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return self.number


class VoiceSession(models.Model):
    """A config with a lifetime. Redis holds the copy that calls read; this one survives a flush."""

    id = id_field("session")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="voice_sessions")
    network = models.ForeignKey(
        Network, null=True, blank=True, on_delete=models.CASCADE, related_name="voice_sessions"
    )
    provider = models.CharField(
        max_length=20, help_text="The transport: twilio, web, webrtc, livekit, daily."
    )
    config = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=1)
    room = models.JSONField(default=dict, blank=True, help_text="What the transport's vendor made for it.")
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "-id"]), models.Index(fields=["expires_at"])]

    def __str__(self) -> str:
        return self.id


class VoiceWorker(models.Model):
    """A process that takes calls. Callers are sent to it by name while its lease lasts."""

    name = models.CharField(primary_key=True, max_length=60, db_collation="C")
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    address = models.CharField(
        max_length=200, blank=True, help_text="Where the carrier reaches it: wss://host, without a path."
    )
    slots = models.PositiveIntegerField(help_text="Calls it takes at once.")
    loop_lag_ms = models.FloatField(
        default=0, help_text="How late its event loop runs; a brake on admission."
    )
    draining = models.BooleanField(default=False)
    lease_until = models.DateTimeField()
    started_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class PhoneCall(models.Model):
    """One caller connected to a network."""

    class State(models.TextChoices):
        DIALLING = "dialling"  # outbound: the carrier has been asked
        RESERVED = "reserved"  # a slot is kept until the stream comes
        ACTIVE = "active"
        ENDED = "ended"
        REFUSED = "refused"

    class Direction(models.TextChoices):
        INBOUND = "inbound"
        OUTBOUND = "outbound"

    id = id_field("call")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="phone_calls")
    network = models.ForeignKey(
        Network, null=True, blank=True, on_delete=models.SET_NULL, related_name="phone_calls"
    )
    session_id = ref_field(blank=True)
    run_id = ref_field(blank=True, default="", help_text="The run of the workflow that leads it.")
    transport = models.CharField(max_length=20)
    direction = models.CharField(max_length=10, choices=Direction.choices, default=Direction.INBOUND)
    state = models.CharField(max_length=10, choices=State.choices)
    external_id = models.CharField(
        max_length=100, blank=True, db_collation="C", help_text="The carrier's own id (CallSid)."
    )
    from_number = models.CharField(max_length=40, blank=True)
    to_number = models.CharField(max_length=40, blank=True)
    worker = models.CharField(max_length=60, blank=True, help_text="The voice process that has it.")
    reserved_until = models.DateTimeField(null=True, blank=True)
    stream_nonce = models.CharField(
        max_length=40, blank=True, editable=False, help_text="Of the one token that may open its stream."
    )
    handover = models.TextField(blank=True, help_text="What a person is told who takes the call over.")
    config = models.JSONField(default=dict, help_text="The session's config when the call began.")
    event_seq = models.PositiveIntegerField(default=0, help_text="The last event's number.")
    turn_count = models.PositiveIntegerField(default=0)
    interruptions = models.PositiveIntegerField(default=0)
    false_interruptions = models.PositiveIntegerField(default=0)
    mos = models.FloatField(null=True, blank=True, help_text="Estimated listening quality, 1 to 4.5.")
    latencies = models.JSONField(default=dict, blank=True, help_text="p50, p95, p99 in ms, by stage.")
    statistics = models.JSONField(default=dict, blank=True)
    use = models.JSONField(default=list, blank=True, help_text="Speech services used, with their cost.")
    cost = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    recording = models.CharField(max_length=300, blank=True)
    end_reason = models.CharField(max_length=30, blank=True)
    error = models.CharField(max_length=500, blank=True)
    request_id = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["project", "-id"]),
            models.Index(fields=["network", "-id"]),
            models.Index(fields=["session_id"]),
            models.Index(
                fields=["worker"], condition=Q(state__in=["reserved", "active"]), name="phone_call_open"
            ),
            models.Index(fields=["created_at"], name="phone_call_age"),
            models.Index(fields=["run_id"], condition=~Q(run_id=""), name="phone_call_run"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["transport", "external_id"],
                condition=~Q(external_id=""),
                name="one_call_an_external_id",
            )
        ]

    def __str__(self) -> str:
        return self.id


class Turn(models.Model):
    """One caller utterance and the reply."""

    call = models.ForeignKey(PhoneCall, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveIntegerField()
    caller_text = models.TextField(blank=True)
    reply_text = models.TextField(blank=True)
    heard_text = models.TextField(blank=True, help_text="What the caller really heard of the reply.")
    interrupted = models.BooleanField(default=False)
    speculative = models.BooleanField(default=False, help_text="The answer was begun before the turn ended.")
    note = models.BooleanField(default=False, help_text="Not the caller but a result spoke.")
    latencies = models.JSONField(default=dict, help_text="Milliseconds after the caller's last sound.")
    stt = models.CharField(max_length=30, blank=True)
    tts = models.CharField(max_length=30, blank=True)
    model = models.CharField(max_length=100, blank=True)
    cost = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    config_version = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField()

    class Meta:
        ordering = ["call", "number"]
        constraints = [models.UniqueConstraint(fields=["call", "number"], name="turn_call_number")]

    def __str__(self) -> str:
        return f"{self.call_id} #{self.number}"


class CallEvent(models.Model):
    """One line of a call's append-only, gap-free log."""

    call = models.ForeignKey(PhoneCall, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=40)
    payload = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        ordering = ["call", "seq"]
        constraints = [models.UniqueConstraint(fields=["call", "seq"], name="call_event_call_seq")]

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"
