"""The scrape: metrics of every process of this host, and what only the database knows.

With `PROMETHEUS_MULTIPROC_DIR` (the supervisor sets it, under `DATA_DIR`) each process writes its numbers
to files there and one scrape of the web shows them all. The variable must be set before Python starts:
prometheus_client reads it at import. Without a shared disk, as in compose, `MESH_METRICS_PORT` makes each
process answer scrapes itself.
"""

import hmac
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_LIVE_FILE = re.compile(r"gauge_live\w*_(\d+)\.db$")

# One statement; only partial indexes and the steps of unfinished runs are read, so history costs nothing.
_STATE_OF_THE_QUEUE = """
with unfinished as (
    select id, state from tasks_run where state in ('pending', 'running', 'waiting')
), live as (
    select s.state, s.ready_at from tasks_step s join unfinished r on r.id = s.run_id
    where s.state in ('pending', 'ready', 'running', 'waiting', 'waiting_human')
)
select 'run', state, count(*)::float from unfinished group by state
union all select 'step', state, count(*) from live group by state
union all select 'oldest', '', extract(epoch from max(now() - ready_at)) from live where state = 'ready'
union all select 'worker', case when draining then 'draining' else 'serving' end, count(*)
    from tasks_worker where lease_until > now() group by 2
"""
_FAMILIES = {
    "run": ("mesh_runs", "Unfinished runs by state.", ("pending", "running", "waiting")),
    "step": (
        "mesh_steps_queued",
        "Unfinished steps by state.",
        ("pending", "ready", "running", "waiting", "waiting_human"),
    ),
    "worker": ("mesh_workers", "Worker processes with a valid lease.", ("serving", "draining")),
}


class QueueCollector(Collector):
    """Asks PostgreSQL for queue depths, at most once in `cache_seconds`, and says when it cannot."""

    def __init__(self, cache_seconds: float = 2.0) -> None:
        self._cache_seconds = cache_seconds
        self._lock = threading.Lock()
        self._rows: list[tuple[str, str, float | None]] | None = None
        self._read_at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        rows = self.read()
        yield GaugeMetricFamily(
            "mesh_database_up", "Whether the last scrape reached the database.", value=float(rows is not None)
        )
        if rows is None:
            return
        for family, (name, text, states) in _FAMILIES.items():
            metric = GaugeMetricFamily(name, text, labels=["state"])
            found = {state: value for kind, state, value in rows if kind == family}
            for state in states:
                metric.add_metric([state], found.get(state) or 0.0)
            yield metric
        oldest = max((value or 0.0 for kind, _, value in rows if kind == "oldest"), default=0.0)
        yield GaugeMetricFamily("mesh_oldest_ready_seconds", "Age of the oldest ready step.", value=oldest)

    def describe(self) -> Iterable[Metric]:
        return []  # registering must not query

    def read(self) -> list[tuple[str, str, float | None]] | None:
        """Return (family, state, value) rows, or None when the database does not answer."""
        with self._lock:
            if time.monotonic() - self._read_at >= self._cache_seconds:
                try:
                    with connection.cursor() as cursor:
                        cursor.execute(_STATE_OF_THE_QUEUE)
                        self._rows = cursor.fetchall()
                except Error:
                    self._rows = None
                finally:
                    if not connection.in_atomic_block:  # a test's transaction
                        connection.close()  # back to the pool: a thread of ours outlives its scrape
                self._read_at = time.monotonic()
            return self._rows


queue = QueueCollector()


def render(*, with_queue: bool) -> bytes:
    """Return everything this scrape shows, in Prometheus' text format."""
    registry = REGISTRY
    if directory := _directory():
        forget_dead(directory)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(directory))
    text = generate_latest(registry)
    if with_queue:
        own = CollectorRegistry()
        own.register(queue)
        text += generate_latest(own)
    return text


@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """`GET /metrics`; with METRICS_TOKEN set, only for its bearer."""
    if not allowed(request.headers.get("Authorization", "")):
        return HttpResponse("A bearer token is needed.\n", status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(render(with_queue=True), content_type=CONTENT_TYPE_LATEST)


def allowed(authorization: str) -> bool:
    """Tell whether an Authorization header may scrape; without a METRICS_TOKEN everybody may."""
    if not settings.METRICS_TOKEN:
        return True
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        token.strip().encode(), settings.METRICS_TOKEN.encode()
    )


def forget_dead(directory: Path) -> None:
    """Drop the gauges of processes that are gone, so that a killed worker's steps do not count for ever."""
    found = {
        int(match[1]) for file in directory.glob("gauge_live*.db") if (match := _LIVE_FILE.search(file.name))
    }
    for pid in found:
        if not _alive(pid):
            mark_process_dead(pid, str(directory))


def serve(
    port: int,
    host: str = "0.0.0.0",  # noqa: S104 (scraped from another container)
    *,
    with_queue: bool = False,
) -> Callable[[], None]:
    """Answer scrapes of this process on a port of its own, from a daemon thread. Returns how to stop it."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ.get("PATH_INFO") != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Only /metrics is here.\n"]
        if not allowed(environ.get("HTTP_AUTHORIZATION", "")):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b"A bearer token is needed.\n"]
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
        return [render(with_queue=with_queue)]

    server = make_server(host, port, application, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def adopt_celery() -> None:
    """Let a Celery worker answer scrapes when MESH_METRICS_PORT is set; it does so before it has a broker."""
    from celery.signals import celeryd_after_setup

    celeryd_after_setup.connect(_serve_worker, weak=False)


def _serve_worker(**_: Any) -> None:
    _serve_beside(with_queue=False)


def serve_web() -> None:
    """Let a web process answer scrapes beside its site when MESH_METRICS_PORT is set.

    A scraper that finds containers by their addresses asks by number, which DJANGO_ALLOWED_HOSTS refuses.
    """
    _serve_beside(with_queue=True)


def serve_voice() -> None:
    """Let a voice process answer scrapes beside its streams when MESH_METRICS_PORT is set."""
    _serve_beside(with_queue=False)


def _serve_beside(*, with_queue: bool) -> None:
    if not settings.MESH_METRICS_PORT:
        return
    try:
        serve(settings.MESH_METRICS_PORT, with_queue=with_queue)
    except OSError as error:  # two processes of one machine: no reason not to work
        log.error("metrics are not served", port=settings.MESH_METRICS_PORT, error=str(error))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10  # a scraper that says nothing must not keep a thread

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _directory() -> Path | None:
    value = os.environ.get(_VARIABLE, "")
    return Path(value) if value and Path(value).is_dir() else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
