"""The record of answers to requests that carried an Idempotency-Key."""

from django.db import models


class IdempotencyRecord(models.Model):
    """One keyed request of one caller: its body's hash and, once it is known, its answer."""

    owner = models.CharField(max_length=60, help_text="Who sent it: the API key's or the user's id.")
    key = models.CharField(max_length=255)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=500)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty while the first request runs.")
    headers = models.JSONField(default=dict)
    body = models.TextField(default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "key"], name="idempotency_owner_key"),
        ]
        indexes = [models.Index(fields=["created_at"])]

    def __str__(self) -> str:
        return f"{self.method} {self.path} ({self.key})"
