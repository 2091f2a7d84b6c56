"""Voice processes in the database: a name with a lease, and what becomes of the calls of those that died."""

import os
import socket
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from voice import lost_calls, retention, sessions
from voice.dialog_runs import end_abandoned
from voice.models import PhoneCall, VoiceWorker

LEASE_SECONDS: Final = 10.0
BEAT_SECONDS: Final = 1.0
RINGING_SECONDS: Final = 600.0  # an outbound call that nobody told us the end of

_State = PhoneCall.State


class NameTaken(Exception):
    """Another living process has this name; the message says which."""


def register(name: str, *, address: str, slots: int) -> None:
    """Take a name and begin its lease. Calls that a former process of the name left open are over.

    Raises `NameTaken`.
    """
    host, pid = socket.gethostname()[:100], os.getpid()
    with transaction.atomic():
        former = VoiceWorker.objects.select_for_update().filter(pk=name, lease_until__gt=Now()).first()
        if former is not None and (former.host != host or (former.pid != pid and _alive(former.pid))):
            raise NameTaken(f"{name} is a process of {former.host} (pid {former.pid})")
        VoiceWorker.objects.update_or_create(
            pk=name,
            defaults={
                "host": host,
                "pid": pid,
                "address": address,
                "slots": slots,
                "loop_lag_ms": 0,
                "draining": False,
                "lease_until": Now() + timedelta(seconds=LEASE_SECONDS),
                "started_at": Now(),
            },
        )
        if former is None or former.pid != pid:
            _end(PhoneCall.objects.filter(worker=name), "worker_lost", (_State.ACTIVE, _State.RESERVED))


def renew(name: str, *, loop_lag_ms: float, draining: bool) -> list[tuple[str, str]] | None:
    """Renew the lease; returns the (call id, reason) of active calls that somebody has asked to end.

    None: the name is not ours any more.
    """
    mine = VoiceWorker.objects.filter(pk=name, pid=os.getpid(), host=socket.gethostname()[:100])
    if not mine.update(
        lease_until=Now() + timedelta(seconds=LEASE_SECONDS),
        loop_lag_ms=round(loop_lag_ms, 1),
        draining=draining,
    ):
        return None
    asked = PhoneCall.objects.filter(worker=name, state=_State.ACTIVE).exclude(end_reason="")
    return list(asked.values_list("id", "end_reason"))


def resign(name: str) -> None:
    """Give the name back."""
    VoiceWorker.objects.filter(pk=name, pid=os.getpid()).delete()


def sweep() -> int:
    """End the calls that nobody will end: of processes that are gone, without a stream, never answered.

    Forgets what is kept no longer as well: sessions, calls, recordings. Returns how many calls it ended.
    """
    living = VoiceWorker.objects.filter(pk=OuterRef("worker"), lease_until__gt=Now())
    lost = _end(PhoneCall.objects.filter(~Exists(living)), "worker_lost", (_State.ACTIVE,))
    silent = _end(PhoneCall.objects.filter(reserved_until__lte=Now()), "no_stream", (_State.RESERVED,))
    old = Q(created_at__lte=Now() - timedelta(seconds=RINGING_SECONDS))
    unanswered = _end(PhoneCall.objects.filter(old), "no_answer", (_State.DIALLING,))
    lost_calls.settle()
    end_abandoned()
    sessions.purge_sessions()
    retention.purge()
    return lost + silent + unanswered


def _end(calls: "QuerySet[PhoneCall]", reason: str, states: tuple[str, ...]) -> int:
    return calls.filter(state__in=states).update(
        state=_State.ENDED, ended_at=Now(), end_reason=reason, reserved_until=None, stream_nonce=""
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def expected(name: str) -> int:
    """How many reserved calls may still come to a process."""
    return PhoneCall.objects.filter(worker=name, state=_State.RESERVED, reserved_until__gt=Now()).count()


def end_orphans(name: str, held: list[str], *, older: float) -> int:
    """End calls that this process is said to have and does not. New ones are left alone: they are being built."""
    before = Now() - timedelta(seconds=older)
    mine = PhoneCall.objects.filter(worker=name, started_at__lte=before).exclude(pk__in=held)
    return _end(mine, "worker_lost", (_State.ACTIVE,))
