"""Per-caller request limits: counted in the process, shared over Redis by a thread beside the requests.

A request only adds to a number in memory. Every half second the thread adds what is new to the shared
count of the minute and takes the sum back; a hung Redis costs that thread 50 ms and then a pause of 10 s,
during which every process counts alone.
"""

import logging
import threading
import time
from dataclasses import dataclass

import redis
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .problems import Problem

logger = logging.getLogger(__name__)

WINDOW = 60
_SYNC_EVERY = 0.5
_REDIS_TIMEOUT = 0.05
_PAUSE = 10.0


@dataclass(slots=True)
class Count:
    """One caller's requests in one window."""

    window: int
    unshared: int = 0  # not yet added to the shared count
    shared: int = 0  # the sum over all processes, as last seen

    @property
    def used(self) -> int:
        return self.unshared + self.shared


class Counter:
    """The counts of this process."""

    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, owner: str, now: float) -> int:
        """Count one request and return how many there are in this window."""
        window = int(now // WINDOW)
        with self._lock:
            count = self._counts.get(owner)
            if count is None or count.window != window:
                count = self._counts[owner] = Count(window)
            count.unshared += 1
            if settings.REDIS_URL and (self._thread is None or not self._thread.is_alive()):
                # Started by the first request, so that it lives in the process that serves it.
                self._thread = threading.Thread(target=self._share_for_ever, name="rate-limit", daemon=True)
                self._thread.start()
            return count.used

    def _share_for_ever(self) -> None:
        client = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=_REDIS_TIMEOUT,
            socket_connect_timeout=_REDIS_TIMEOUT,
            retry=None,
        )
        pause = _SYNC_EVERY
        while not self._stopped.wait(pause):
            try:
                self.share(client, time.time())
                pause = _SYNC_EVERY
            except redis.RedisError as error:
                pause = _PAUSE
                logger.info("rate limits are counted per process for %.0f s: %s", pause, error)

    def stop(self) -> None:
        """End the thread; what was counted last is not shared any more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def share(self, client: "redis.Redis", now: float) -> None:
        """Add what is new to the shared counts and take their sums."""
        window = int(now // WINDOW)
        with self._lock:
            self._counts = {owner: count for owner, count in self._counts.items() if count.window == window}
            fresh = [
                (owner, count, count.unshared) for owner, count in self._counts.items() if count.unshared
            ]
        if not fresh:
            return
        pipe = client.pipeline(transaction=False)
        for owner, count, new in fresh:
            name = f"mesh:rate:{owner}:{count.window}"
            pipe.incrby(name, new)
            pipe.expire(name, 2 * WINDOW)
        sums = pipe.execute()[::2]
        with self._lock:
            for (_, count, new), total in zip(fresh, sums, strict=True):
                count.unshared -= new
                count.shared = int(total)


counter = Counter()


def spend(request: HttpRequest) -> None:
    """Count this request against its caller's limit, once. Raises `Problem("rate_limited")` beyond it.

    Authentication names the caller by `request.rate_owner` and its own limit by `request.rate_quota`.
    """
    owner: str = getattr(request, "rate_owner", "")
    if not owner or hasattr(request, "rate_used"):
        return
    quota = int(getattr(request, "rate_quota", None) or settings.MESH_RATE_LIMIT_PER_MINUTE)
    now = time.time()
    used = counter.add(owner, now)
    request.rate_quota, request.rate_used = quota, used  # type: ignore[attr-defined]
    if used > quota:
        raise Problem("rate_limited", headers={"Retry-After": str(_reset(now))})


def add_headers(request: HttpRequest, response: HttpResponseBase) -> None:
    """Tell the limit and what is left of it (draft-ietf-httpapi-ratelimit-headers, version 10)."""
    if not hasattr(request, "rate_used"):
        return
    quota: int = request.rate_quota  # type: ignore[attr-defined]
    left = max(0, quota - request.rate_used)
    response.headers["RateLimit-Policy"] = f'"default";q={quota};w={WINDOW}'
    response.headers["RateLimit"] = f'"default";r={left};t={_reset(time.time())}'


def _reset(now: float) -> int:
    return int(WINDOW - now % WINDOW) + 1
