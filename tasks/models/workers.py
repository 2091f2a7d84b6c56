"""The workers that hold leases."""

from django.db import models

from web.fields import id_field


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
