"""Voice sessions: configs with a lifetime. PostgreSQL is the truth, Redis has the copy that calls read.

An expired or ended session is gone for whoever asks; a call that runs goes on with what it has.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from networks.models import Project

from .bus.access import publish_config
from .config import SessionConfig
from .config_parsing import parse, to_json
from .models import VoiceSession
from .session_copies import Copies, Copy

DEFAULT_TTL: Final = 3600  # seconds
MAX_TTL: Final = 30 * 86_400
KEPT_FOR: Final = timedelta(days=1)  # after its life, so that asking for it says that it is over


def live(now: datetime | None = None) -> Q:
    """What makes a session one that is not over."""
    return Q(ended_at=None, expires_at__gt=now or timezone.now())


def create_session(
    *,
    project: Project,
    config: SessionConfig,
    provider: str,
    ttl_seconds: int = DEFAULT_TTL,
    room: Mapping[str, Any] | None = None,
) -> VoiceSession:
    """Store a config for `ttl_seconds`. Its network must be one of the project's."""
    session = VoiceSession.objects.create(
        project=project,
        network_id=config.network_id or None,
        provider=provider,
        config=to_json(config),
        room=dict(room or {}),
        expires_at=timezone.now() + timedelta(seconds=ttl_seconds),
    )
    _share(session)
    return session


def update_session(*, session: VoiceSession, config: SessionConfig) -> VoiceSession:
    """Replace the config; calls in progress take it at their next turn. Raises `DoesNotExist` when it is over."""
    changed = VoiceSession.objects.filter(live(), pk=session.pk).update(
        config=to_json(config),
        network_id=config.network_id or None,
        version=F("version") + 1,
        updated_at=timezone.now(),
    )
    return _after(session, changed)


def extend_session(*, session: VoiceSession, ttl_seconds: int) -> VoiceSession:
    """Set the life that is left, as EXPIRE does: it never adds. Raises `DoesNotExist` when it is over."""
    now = timezone.now()
    changed = VoiceSession.objects.filter(live(now), pk=session.pk).update(
        expires_at=now + timedelta(seconds=ttl_seconds), updated_at=now
    )
    return _after(session, changed)


def remaining_seconds(session: VoiceSession, now: datetime | None = None) -> int:
    """Whole seconds of life left, rounded up; 0 when it is over."""
    if session.ended_at is not None:
        return 0
    left = (session.expires_at - (now or timezone.now())).total_seconds()
    return max(0, -int(-left // 1))


def end_session(*, session: VoiceSession) -> None:
    """End a session now. Ending it again changes nothing."""
    VoiceSession.objects.filter(pk=session.pk, ended_at=None).update(ended_at=timezone.now())
    transaction.on_commit(lambda: _copies.drop(session.pk))


def cleanup_sessions(*, sessions: "QuerySet[VoiceSession] | None" = None) -> int:
    """Delete sessions that are over, with their copies; return how many there were. Calls keep their snapshot."""
    rows = VoiceSession.objects.all() if sessions is None else sessions
    gone: Sequence[str] = list(rows.exclude(live()).order_by().values_list("pk", flat=True))
    removed, _ = VoiceSession.objects.filter(pk__in=gone).exclude(live()).delete()
    transaction.on_commit(lambda: _copies.drop(*gone))
    return removed


def purge_sessions() -> int:
    """Delete the sessions whose life has been over for a day, of all projects; return how many there were."""
    return cleanup_sessions(sessions=VoiceSession.objects.filter(expires_at__lte=timezone.now() - KEPT_FOR))


def load_config(session_id: str) -> SessionConfig | None:
    """The present config of a session; None when it is over. From Redis, else from PostgreSQL.

    Takes at most 50 ms more than PostgreSQL when Redis hangs. Not for the event loop: use a thread.
    """
    copy = _copies.get(session_id) or _present_copy(session_id)
    return None if copy is None or copy.expires_at <= timezone.now() else config_of(copy)


def config_of(stored: Copy | VoiceSession) -> SessionConfig:
    """The config of a stored session, at its version."""
    return parse(stored.config, provider=stored.provider, version=stored.version)


def copies_since(versions: Mapping[str, int]) -> list[Copy]:
    """The copies of those sessions that are newer than the versions given. One query."""
    rows = VoiceSession.objects.filter(live(), pk__in=list(versions))
    return [_copy(row) for row in rows if row.version > versions[row.pk]]


def _after(session: VoiceSession, changed: int) -> VoiceSession:
    if not changed:
        raise VoiceSession.DoesNotExist("The session is over.")
    session.refresh_from_db()
    _share(session)
    return session


def _share(session: VoiceSession) -> None:
    copy = _copy(session)
    transaction.on_commit(lambda: _copies.put(copy, timezone.now()))
    transaction.on_commit(lambda: publish_config(copy))


def _copy(session: VoiceSession) -> Copy:
    return Copy(
        session_id=session.pk,
        project_id=session.project_id,
        version=session.version,
        provider=session.provider,
        config=session.config,
        expires_at=session.expires_at,
    )


def _present_copy(session_id: str) -> Copy | None:
    session = VoiceSession.objects.filter(live(), pk=session_id).first()
    return None if session is None else _copy(session)


_copies = Copies(_present_copy)
