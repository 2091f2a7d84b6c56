from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_delete


class VoiceConfig(AppConfig):
    name = "voice"
    verbose_name = "Voice"

    def ready(self) -> None:
        from .models import PhoneCall

        post_delete.connect(_delete_recording, sender=PhoneCall)


def _delete_recording(instance: Any, **kwargs: Any) -> None:
    """A call's recording goes with the call, its network or its project."""
    from . import recordings

    recordings.delete_file(instance)
