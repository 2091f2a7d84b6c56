"""Admission: a slot on a voice process for every call, kept in PostgreSQL.

A call is `reserved` on a named process until its stream comes, `active` until it ends. What is free is counted,
never added up, so nothing can drift: a reservation that has run out and a call whose process is gone hold
nothing. One lock makes reservations one after the other; counting comes after it, in statements of their own,
for a statement sees the world as it was when it began.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from voice import tokens
from voice.models import PhoneCall

RESERVED_SECONDS: Final = 15.0
LOOP_LAG_LIMIT_MS: Final = 100.0
_LOCK: Final = 7_236_838  # an advisory lock

_State = PhoneCall.State
Reason = Literal["full", "project_limit", "session_busy", "over"]

# What holds a slot; written so that the partial index `phone_call_open` is used.
_OPEN = "state in ('reserved', 'active') and (state = 'active' or reserved_until > now())"
_CHOOSE = f"""
with held as (
    select worker, project_id, count(*) as calls from voice_phonecall
    where {_OPEN} and id <> %(call)s group by worker, project_id
)
select w.name, w.address,
    (select coalesce(sum(calls), 0) from held where project_id = %(project)s)::int
from voice_voiceworker w
left join (select worker, sum(calls) as calls from held group by worker) h on h.worker = w.name
where w.lease_until > now() and not w.draining and w.loop_lag_ms < %(lag)s
    and coalesce(h.calls, 0) < w.slots and (%(worker)s = '' or w.name = %(worker)s)
order by coalesce(h.calls, 0)::float / w.slots, random()
limit 1
"""  # noqa: S608 (constants)
_ADDRESS = "select address from voice_voiceworker where name = %s and lease_until > now() and not draining"
_OPEN_STREAM = """
update voice_phonecall set state = 'active', started_at = now(), reserved_until = null, stream_nonce = ''
where transport = %(transport)s and external_id = %(external)s and worker = %(worker)s
    and stream_nonce = %(nonce)s and stream_nonce <> '' and state = 'reserved' and reserved_until > now()
returning id
"""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A caller who wants in. `call_id` names the row of an outbound call, which is there already; `alone`:
    the session takes one call at a time."""

    project_id: str
    network_id: str | None
    transport: str
    external_id: str
    session_id: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    from_number: str = ""
    to_number: str = ""
    call_id: str = ""
    request_id: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Reserved:
    """A slot, and what the token that claims it must say."""

    call_id: str
    worker: str
    address: str
    nonce: str


class Refused(Exception):
    """There is no slot: all are taken (`full`), the project's limit is reached, the session has a call
    already, or the call or its session is over."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that has been let in, as far as it matters to those who run it."""

    id: str
    project_id: str
    network_id: str
    session_id: str
    transport: str
    external_id: str
    direction: str
    from_number: str
    to_number: str
    config: Mapping[str, Any]
    worker: str = ""
    request_id: str = ""


def reserve(incoming: Incoming, *, worker: str = "", seconds: float = RESERVED_SECONDS) -> Reserved:
    """Keep a slot for a caller, on any voice process or on the one named. Raises `Refused`.

    Idempotent by the carrier's id: asked again, the same slot is kept a little longer, under the same nonce.
    """
    refusal: Refused | None = None
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        call = _known(incoming)
        if call is not None and call.state in (_State.ACTIVE, _State.ENDED):
            raise Refused("over")
        if call is not None and (kept := _kept(call, seconds)):
            return kept
        if call is None:
            call = PhoneCall(
                project_id=incoming.project_id,
                network_id=incoming.network_id,
                session_id=incoming.session_id,
                transport=incoming.transport,
                external_id=incoming.external_id,
                from_number=incoming.from_number[:40],
                to_number=incoming.to_number[:40],
                config=incoming.config,
                request_id=incoming.request_id,
            )
        try:
            if incoming.alone:
                _only_one(call)
            call.worker, address = _choose(call, worker)
        except Refused as refused:
            refusal = refused  # it is written down, so the transaction must not be undone
            call.state, call.worker, call.end_reason = _State.REFUSED, "", refused.reason
        else:
            call.state, call.end_reason = _State.RESERVED, ""
            call.external_id = incoming.external_id
            call.stream_nonce = tokens.new_nonce()
            call.reserved_until = Now() + timedelta(seconds=seconds)
        call.save()
    if refusal is not None:
        raise refusal
    return Reserved(call.pk, call.worker, address, call.stream_nonce)


def dial(call: PhoneCall) -> None:
    """Write down a call that is about to be placed. It holds no slot while it rings, but counts for its project.

    Raises `Refused` when the project has as many calls as it may.
    """
    limit = settings.MESH_VOICE_CALLS_PER_PROJECT
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        reserved = Q(state=_State.RESERVED, reserved_until__gt=Now())
        taken = reserved | Q(state__in=[_State.DIALLING, _State.ACTIVE])
        if 0 < limit <= PhoneCall.objects.filter(taken, project_id=call.project_id).count():
            raise Refused("project_limit")
        call.save(force_insert=True)


def open_stream(*, transport: str, external_id: str, worker: str, nonce: str) -> CallRecord | None:
    """Take a reserved call's stream, once. None: it is not reserved here, or was taken, or waited too long."""
    parameters = {"transport": transport, "external": external_id, "worker": worker, "nonce": nonce}
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_STREAM, parameters)
        row = cursor.fetchone()
    return None if row is None else record(PhoneCall.objects.get(pk=row[0]))


def record(call: PhoneCall) -> CallRecord:
    """A call's row as a plain value."""
    return CallRecord(
        id=call.pk,
        project_id=call.project_id,
        network_id=call.network_id or "",
        session_id=call.session_id,
        transport=call.transport,
        external_id=call.external_id,
        direction=call.direction,
        from_number=call.from_number,
        to_number=call.to_number,
        config=call.config,
        worker=call.worker,
        request_id=call.request_id,
    )


def finish(call_id: str, reason: str, *, error: str = "") -> bool:
    """Write down that a call is over, if nobody has, and so free its slot. False when somebody had."""
    return bool(
        PhoneCall.objects.filter(pk=call_id)
        .exclude(state=_State.ENDED)
        .update(
            state=_State.ENDED,
            ended_at=Now(),
            end_reason=reason[:30],
            error=error[:500],
            reserved_until=None,
            stream_nonce="",
        )
    )


Listener = Callable[[str, str], None]  # (call id, reason)
_listeners: list[Listener] = []


def add_listener(listener: Listener) -> None:
    """Be told at once when somebody in this process asks a call to end, in that one's thread."""
    _listeners.append(listener)


def forget_listener(listener: Listener) -> None:
    if listener in _listeners:
        _listeners.remove(listener)


def ask_to_end(call_id: str, reason: str) -> None:
    """End a call wherever it is. An active one is ended by its process, at its next heartbeat. Idempotent."""
    for listener in list(_listeners):
        listener(call_id, reason)
    calls = PhoneCall.objects.filter(pk=call_id)
    if not calls.filter(state=_State.ACTIVE, end_reason="").update(end_reason=reason[:30]):
        calls = calls.filter(state__in=[_State.DIALLING, _State.RESERVED])
        calls.update(state=_State.ENDED, ended_at=Now(), end_reason=reason[:30], stream_nonce="")


def _known(incoming: Incoming) -> PhoneCall | None:
    calls = PhoneCall.objects.select_for_update()
    if incoming.call_id:
        return calls.filter(pk=incoming.call_id).first()
    if not incoming.external_id:
        return None
    return calls.filter(transport=incoming.transport, external_id=incoming.external_id).first()


def _kept(call: PhoneCall, seconds: float) -> Reserved | None:
    """The reservation that a call has already, if it still holds."""
    still = PhoneCall.objects.filter(pk=call.pk, state=_State.RESERVED, reserved_until__gt=Now())
    with connection.cursor() as cursor:
        cursor.execute(_ADDRESS, [call.worker])
        row = cursor.fetchone()
    if row and still.update(reserved_until=Now() + timedelta(seconds=seconds)):
        return Reserved(call.pk, call.worker, row[0], call.stream_nonce)
    return None


def _only_one(call: PhoneCall) -> None:
    others = PhoneCall.objects.filter(session_id=call.session_id).exclude(pk=call.pk)
    reserved = Q(state=_State.RESERVED, reserved_until__gt=Now())
    if others.filter(Q(state=_State.ACTIVE) | reserved).exists():
        raise Refused("session_busy")


def _choose(call: PhoneCall, worker: str) -> tuple[str, str]:
    parameters: dict[str, str | float] = {
        "call": call.pk,
        "project": call.project_id,
        "lag": LOOP_LAG_LIMIT_MS,
        "worker": worker,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CHOOSE, parameters)
        row = cursor.fetchone()
    if row is None:
        raise Refused("full")
    name, address, of_project = row
    if 0 < settings.MESH_VOICE_CALLS_PER_PROJECT <= of_project:
        raise Refused("project_limit")
    return name, address
