"""The copies of session configs in Redis: written beside PostgreSQL, read first, never waited for.

A copy lies under the session's id for as long as the session has left, and every write is announced with the
whole copy, so that calls in progress need not ask for it. A Redis that is absent, hung or flushed costs a
request 50 ms, then nothing for some seconds; what could not be written is written when it is back.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import redis
from django.conf import settings
from django.db import Error, connections
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

PREFIX: Final = "mesh:voice:session:"
CHANNEL: Final = "mesh.voice.configs"
PATIENCE: Final = 0.05  # seconds that a request gives Redis
PAUSE: Final = 5.0  # seconds without asking a Redis that has failed

# An older version never replaces a newer one, in whatever order two updates arrive here.
_PUT: Final = """
local old = redis.call('GET', KEYS[1])
if old and cjson.decode(old).version > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 1
"""


@dataclass(frozen=True, slots=True)
class Copy:
    """What is kept of one session."""

    session_id: str
    project_id: str
    version: int
    provider: str
    config: dict[str, Any]
    expires_at: datetime

    def pack(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def unpack(cls, data: bytes) -> "Copy":
        """Raises `ValueError` for what is no copy."""
        try:
            members = orjson.loads(data)
            return cls(**members | {"expires_at": datetime.fromisoformat(members["expires_at"])})
        except (TypeError, KeyError) as error:
            raise ValueError("not the copy of a session") from error


class Copies:
    """The link of this process. `renew` returns the present copy of a session, None when it is over."""

    def __init__(self, renew: Callable[[str], Copy | None]) -> None:
        self._renew = renew
        self._client: redis.Redis | None = None
        self._url = ""
        self._away_until = 0.0
        self._missed: set[str] = set()
        self._lock = threading.Lock()
        self._mending = False

    def put(self, copy: Copy, now: datetime) -> None:
        """Keep a copy until its session ends, and tell those who use it."""
        if not self._ask(lambda client: _put(client, copy, now)) and settings.REDIS_URL:
            self._mend_later(copy.session_id)

    def get(self, session_id: str) -> Copy | None:
        """The copy there is; None also when Redis cannot be asked."""
        found: list[bytes | None] = []
        self._ask(lambda client: found.append(client.get(PREFIX + session_id)))  # type: ignore[arg-type]
        if not found or found[0] is None:
            return None
        try:
            return Copy.unpack(found[0])
        except ValueError:
            logger.warning("the copy of session %s cannot be read", session_id)
            return None

    def drop(self, *session_ids: str) -> None:
        """Forget the copies of sessions that are over."""
        names = [PREFIX + session_id for session_id in session_ids]
        if names and not self._ask(lambda client: client.delete(*names)) and settings.REDIS_URL:
            self._mend_later(*session_ids)

    def _ask(self, command: Callable[[redis.Redis], Any]) -> bool:
        if not settings.REDIS_URL or time.monotonic() < self._away_until:
            return False
        try:
            command(self._connected())
        except (redis.RedisError, OSError) as error:
            self._away_until = time.monotonic() + PAUSE
            logger.warning("session configs are not shared over Redis for %.0f s: %s", PAUSE, error)
            return False
        return True

    def _connected(self) -> redis.Redis:
        with self._lock:
            if self._client is None or self._url != settings.REDIS_URL:
                self._url = settings.REDIS_URL
                self._client = redis.Redis.from_url(
                    self._url,
                    socket_timeout=PATIENCE,
                    socket_connect_timeout=PATIENCE,
                    retry=Retry(NoBackoff(), 0),
                )
            return self._client

    def _mend_later(self, *session_ids: str) -> None:
        with self._lock:
            self._missed.update(session_ids)
            if self._mending:
                return
            self._mending = True
        threading.Thread(target=self._mend, name="session-copies", daemon=True).start()

    def _mend(self) -> None:
        """Bring to Redis what it has missed, as it is by now; end when nothing is left."""
        try:
            while True:
                time.sleep(PAUSE)
                with self._lock:
                    missed, self._missed = self._missed, set()
                    if not missed:
                        self._mending = False
                        return
                for session_id in missed:
                    if not self._mended(session_id):
                        with self._lock:
                            self._missed.add(session_id)
        finally:
            connections.close_all()

    def _mended(self, session_id: str) -> bool:
        try:
            copy = self._renew(session_id)
        except Error:
            return False
        if copy is None:
            return self._ask(lambda client: client.delete(PREFIX + session_id))
        return self._ask(lambda client: _put(client, copy, timezone.now()))


def _put(client: redis.Redis, copy: Copy, now: datetime) -> None:
    left = int((copy.expires_at - now).total_seconds() * 1000)
    if left > 0:
        client.eval(_PUT, 1, PREFIX + copy.session_id, copy.pack(), copy.version, left, CHANNEL)
