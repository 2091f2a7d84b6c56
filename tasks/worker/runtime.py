"""The worker process: one thread with the event loop, from start to drain.

`start()` is called once a process (by Celery's worker_init), `wake()` by every hint, `drain()` at shutdown.
"""

import asyncio
import gc
import os
import threading
import time
from contextlib import suppress

import structlog
from celery import current_app
from django.conf import settings
from django.db import connection as django_connection
from django.db import connections
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from agents.catalogue import Catalogue
from agents.credentials import credentials
from agents.metrics import PrometheusObserver
from agents.providers import registry
from agents.resilience.gateway import ModelGateway
from agents.resilience.ports import ModelInfo
from agents.selectors import load_catalogue
from agents.tools.function import import_functions
from tasks.approving.mailing import mailer
from tasks.notices import publish_notice
from tasks.schedules.starting import scheduler
from tasks.store.pool import Connection, make_pool
from tasks.store.warm import warm
from tasks.webhooks.delivery import Deliverer
from web import idempotency
from web.egress import Egress, EgressPolicy

from .flower import StepEvents
from .heartbeat import renew_forever, watch_forever
from .incarnation import Incarnation
from .loop import StepLoop
from .persist import OUTAGE
from .surroundings import make_surroundings
from .sweeper import Sweeper

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 20.0
LONGEST_POLL = 1.0  # how long a ready step waits when its hint was lost and a slot is free
REFRESH_SECONDS = 30.0
PURGE_SECONDS = 3600.0


class LiveCatalogue:
    """The catalogue of the database, renewed now and then."""

    def __init__(self) -> None:
        self.current: Catalogue = load_catalogue()

    def resolve(self, name: str) -> ModelInfo | None:
        return self.current.resolve(name)

    def default_chain(self, tier: str = "standard") -> tuple[str, ...]:
        return self.current.default_chain(tier)

    def refresh(self) -> None:
        try:
            self.current = load_catalogue()
        finally:
            connections.close_all()


class Runtime:
    """Everything that lives on the worker's event loop."""

    def __init__(self, hostname: str) -> None:
        self.hostname = hostname
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)
        self._over = threading.Event()
        self._drain_seconds = DRAIN_SECONDS
        self._steps: StepLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.slot = os.environ.get("MESH_SLOT", "") or f"{os.uname().nodename}-{os.getpid()}"

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        if self._steps is not None:
            self._steps.wake()

    def stop_claiming(self) -> None:
        """Claim nothing more. Returns at once."""
        if self._steps is not None:
            self._steps.claiming = False

    def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Stop claiming, end or hand over what is in hand, and give up the lease. Blocks until done."""
        if self._loop is None or self._stop is None or self._over.is_set():
            return
        self._drain_seconds = seconds
        self._loop.call_soon_threadsafe(self._stop.set)
        self._over.wait(seconds + 15)

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(self._run())
        except Exception:
            # A worker without its engine is useless and holds a slot: let the supervisor start another.
            log.exception("the engine died")
            os._exit(70)
        finally:
            self._over.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        catalogue = await asyncio.to_thread(LiveCatalogue)
        await asyncio.to_thread(_prepare)
        pool = make_pool(_conninfo(), prepare=warm)
        await pool.open()
        await _until_warm(pool)
        gateway = ModelGateway(
            catalogue, credentials, redis_url=settings.REDIS_URL, observer=PrometheusObserver()
        )
        await gateway.start()
        poll = min(settings.MESH_SWEEP_SECONDS, LONGEST_POLL)
        shown = StepEvents(current_app._get_current_object(), self.hostname, settings.MESH_FLOWER_EVENTS)
        self._steps = StepLoop(
            gateway, publish_notice, shown, slots=settings.MESH_WORKER_STEPS, poll_seconds=poll
        )
        refreshing = self._loop.create_task(_refresh_forever(catalogue))
        egress = Egress(EgressPolicy.parse(settings.MESH_EGRESS_ALLOW))
        tools = make_surroundings(pool, egress)
        delivering = self._loop.create_task(Deliverer(pool, egress).run_forever(), name="webhooks")
        scheduling = self._loop.create_task(scheduler(pool).run_forever(), name="schedules")
        mailing = self._loop.create_task(mailer(pool).run_forever(), name="letters")
        try:
            while not self._stop.is_set():
                life = Incarnation(pool, self.slot, settings.MESH_LEASE_SECONDS, tools)
                await self._live(life, self._steps)
        finally:
            refreshing.cancel()
            delivering.cancel()
            scheduling.cancel()
            mailing.cancel()
            with suppress(Exception):
                await gateway.aclose()
            with suppress(Exception):
                await egress.aclose()
            await pool.close()

    async def _live(self, life: Incarnation, steps: StepLoop) -> None:
        """Live one incarnation: until told to stop, or until the others gave it up."""
        assert self._stop is not None
        while True:
            try:
                await life.lease.register()
                break
            except OUTAGE as error:
                log.warning("waiting for the database", error=str(error)[:200])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 0.5)
                return
        log.info("worker ready", slot=life.lease.slot, owner=life.owner, slots=steps.slots)
        sweeper = Sweeper(life, steps, publish_notice, seconds=settings.MESH_SWEEP_SECONDS)
        renewing = asyncio.create_task(renew_forever(life, steps), name="renew")
        jobs = [
            asyncio.create_task(steps.claim_forever(life), name="claim"),
            asyncio.create_task(watch_forever(life, steps), name="watch"),
            asyncio.create_task(sweeper.run_forever(), name="sweep"),
        ]
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([renewing, stopping, *jobs], return_when=asyncio.FIRST_COMPLETED)
            if stopping in done:
                began = time.monotonic()
                await steps.drain(self._drain_seconds)
                log.info("worker drained", seconds=round(time.monotonic() - began, 2))
                with suppress(*OUTAGE):
                    await life.lease.resign()
                return
            steps.abort([id_ for id_, _ in steps.held], "lost")
            for job in done:
                job.result()  # a loop that broke is a bug: let it be seen
        finally:
            for job in (renewing, stopping, *jobs):
                job.cancel()
            await asyncio.gather(renewing, stopping, *jobs, return_exceptions=True)
            await life.lease.let_go()


async def _until_warm(pool: AsyncConnectionPool[Connection]) -> None:
    """Wait for the first connections, but not for a database that is away: the worker waits for it later."""
    with suppress(PoolTimeout):
        await pool.wait(timeout=5)


def _prepare() -> None:
    """Do now what would hold up the first step: read the keys, import the SDKs (seconds), freeze the garbage."""
    import_functions(settings.MESH_FUNCTION_MODULES)
    credentials.refresh()
    connections.close_all()
    registry.load_known(credentials.providers())
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # the default collects hundreds of times a second under load


async def _refresh_forever(catalogue: LiveCatalogue) -> None:
    """Read the catalogue again now and then, and throw away what is out of date."""
    purged = 0.0
    while True:
        try:
            if time.monotonic() - purged > PURGE_SECONDS:
                purged = time.monotonic()
                await asyncio.to_thread(_purge)
            await asyncio.sleep(REFRESH_SECONDS)
            await asyncio.to_thread(catalogue.refresh)
        except Exception as error:
            log.warning("background upkeep failed and is tried again", error=str(error)[:200])
            await asyncio.sleep(REFRESH_SECONDS)


def _purge() -> None:
    try:
        idempotency.purge()
    finally:
        connections.close_all()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # no build for this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _conninfo() -> str:
    """Return Django's database as libpq parameters, without its pool's options."""
    given = django_connection.settings_dict
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    parameters = {theirs: given[ours] for ours, theirs in names.items() if given.get(ours)}
    options = {key: value for key, value in (given.get("OPTIONS") or {}).items() if key.startswith("ssl")}
    return make_conninfo(**parameters, **options)


_runtime: Runtime | None = None


def start(hostname: str = "") -> None:
    """Start this process's engine; once. `hostname` is the Celery worker's name, for Flower."""
    global _runtime
    if _runtime is None:
        _runtime = Runtime(hostname)
        _runtime.start()


def wake() -> None:
    if _runtime is not None:
        _runtime.wake()


def stop_claiming() -> None:
    if _runtime is not None:
        _runtime.stop_claiming()


def drain() -> None:
    if _runtime is not None:
        _runtime.drain()
