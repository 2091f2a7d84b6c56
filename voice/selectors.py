"""Reads of voice sessions, telephone numbers and phone calls, behind the caller's key."""

from collections.abc import Sequence
from typing import Final

from django.db.models import Q, QuerySet

from networks.models import ApiKey
from web.problems import NotFound, Problem

from .models import CallEvent, PhoneCall, PhoneNumber, Turn, VoiceSession
from .sessions import live

MAX_TURNS: Final = 1000
OPEN: Final = (PhoneCall.State.DIALLING, PhoneCall.State.RESERVED, PhoneCall.State.ACTIVE)


def of_caller(key: ApiKey) -> Q:
    """What a key sees of rows that have a project and perhaps a network: a restricted key sees its networks'."""
    mine = Q(project_id=key.project_id)
    return mine & Q(network_id__in=key.network_ids) if key.network_ids else mine


def sessions_for(key: ApiKey) -> "QuerySet[VoiceSession]":
    """All sessions that a key can see, over or not, newest first."""
    return VoiceSession.objects.filter(of_caller(key)).order_by("-id")


def access_session_for(key: ApiKey, session_id: str, *, over: bool = False) -> VoiceSession:
    """A session that is live, else `session_over`; `NotFound` when the key cannot see it.

    `over` returns one that has ended as well.
    """
    sessions = sessions_for(key).filter(pk=session_id).order_by()
    session = sessions.first() if over else sessions.filter(live()).first()
    if session is not None:
        return session
    if not over and sessions.exists():
        raise Problem("session_over")
    raise NotFound("There is no such voice session.")


def participants_of(session: VoiceSession) -> list[PhoneCall]:
    """The calls that are in a session now, the first one first."""
    return list(PhoneCall.objects.filter(session_id=session.pk, state__in=OPEN).order_by("id")[:100])


def numbers_for(key: ApiKey) -> "QuerySet[PhoneNumber]":
    """The telephone numbers that a key can see."""
    return PhoneNumber.objects.filter(of_caller(key)).order_by("-id")


def access_number_for(key: ApiKey, number_id: str) -> PhoneNumber:
    """A number that the key can see, else `NotFound`."""
    number = numbers_for(key).filter(pk=number_id).order_by().first()
    if number is None:
        raise NotFound("There is no such telephone number.")
    return number


def calls_for(key: ApiKey) -> "QuerySet[PhoneCall]":
    """The phone calls that a key can see, newest first."""
    return PhoneCall.objects.filter(of_caller(key)).order_by("-id")


def access_call_for(key: ApiKey, call_id: str) -> PhoneCall:
    """A call that the key can see, else `NotFound`."""
    call = calls_for(key).filter(pk=call_id).order_by().first()
    if call is None:
        raise NotFound("There is no such call.")
    return call


def turns_of(call: PhoneCall) -> Sequence[Turn]:
    """A call's turns in order."""
    return list(Turn.objects.filter(call=call).order_by("number")[:MAX_TURNS])


def call_events_after(call_id: str, seq: int, limit: int) -> list[CallEvent]:
    """The next events of a call, in order."""
    return list(CallEvent.objects.filter(call_id=call_id, seq__gt=seq).order_by("seq")[:limit])


def is_over(call_id: str) -> bool:
    """Whether a call has ended, or is not there any more."""
    return not PhoneCall.objects.filter(pk=call_id, state__in=OPEN).exists()
