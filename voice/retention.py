"""How long calls and their recordings are kept: the days that settings say, and 0 for ever.

The ledger's rows of the model calls stay: they are money, and hold nothing that was said.
"""

from datetime import timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import recordings
from .models import PhoneCall

log = structlog.get_logger(__name__)

BATCH: Final = 200  # in one go: more are left to the next one

_OVER = (PhoneCall.State.ENDED, PhoneCall.State.REFUSED)


def purge() -> int:
    """Delete recordings, and calls with all that was said in them, that are too old; return how many.

    Safe in several processes at once. A file that cannot be deleted keeps its call, and is tried again.
    """
    done = 0
    if days := settings.MESH_VOICE_RECORDING_DAYS:
        for call in _older(days).exclude(recording="")[:BATCH]:
            done += _done(call, whole=False)
    if days := settings.MESH_VOICE_CALL_DAYS:
        for call in _older(days)[:BATCH]:
            done += _done(call, whole=True)
    return done


def _older(days: int) -> "QuerySet[PhoneCall]":
    return PhoneCall.objects.filter(
        created_at__lt=timezone.now() - timedelta(days=days), state__in=_OVER
    ).order_by("created_at")


def _done(call: PhoneCall, *, whole: bool) -> bool:
    try:
        with transaction.atomic():
            if whole:
                call.delete()
            else:
                recordings.delete(call)
    except OSError as error:
        log.error("an old recording cannot be deleted", call_id=call.pk, error=str(error)[:200])
        return False
    return True
