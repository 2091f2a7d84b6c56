"""A process that takes calls: its name and lease, its slots, the calls it has, and its end.

One a process and event loop. `manage.py voice` starts it before it says that it is ready; with
`MESH_VOICE=inline` the web process does at the first call (`obtain`).
"""

import asyncio
import gc
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

import structlog
from django.conf import settings
from django.db import Error, close_old_connections

from voice import addresses, metrics, slots, workers
from voice.building import build_call
from voice.parts import Parts, start_parts
from voice.pipeline.ports import CallLog, CallSummary, LineControl, Transport
from voice.slots import CallRecord

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)

THREADS: Final = 4  # for the database; the frame path needs none
SAMPLE_SECONDS: Final = 0.05
END_SECONDS: Final = 5.0  # that calls are given to end when the process does
_SWEEP_EVERY: Final = 10  # beats
_COLLECT_EVERY: Final = 100  # ended calls, of 0.2 MB each
_COLLECT_SECONDS: Final = 1.0  # after a call's end: its tasks hold it a little longer
_ORPHAN_SECONDS: Final = 30.0


class RunningCall(Protocol):
    """What the runtime needs of `voice.pipeline.call.Call`."""

    async def run(self) -> CallSummary: ...

    def end(self, reason: str) -> None: ...


class Builder(Protocol):
    """`voice.building.build_call`, or what a test puts in its place."""

    def __call__(
        self,
        parts: Parts,
        record: CallRecord,
        transport: Transport,
        *,
        line: LineControl | None,
        watch: Callable[[CallLog], CallLog] | None,
    ) -> Awaitable[RunningCall]: ...


class VoiceRuntime:
    """`parts` is what calls are made of; None until `start` has returned."""

    def __init__(
        self,
        *,
        name: str = "",
        address: str = "",
        capacity: int = 0,
        start: Callable[[], Awaitable[Parts]] = start_parts,
        build: Builder = build_call,
    ) -> None:
        self.name = name or settings.MESH_VOICE_NAME
        self.address = address or addresses.own_address(self.name, settings.PORT)
        self.capacity = capacity or settings.MESH_VOICE_SLOTS
        self.calls: dict[str, RunningCall] = {}
        self.draining = False
        self._start_parts = start
        self._build = build
        self._parts: Parts | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="voice")
        self._jobs: set[asyncio.Task[Any]] = set()
        self._lags: deque[float] = deque(maxlen=100)
        self._beat_now = asyncio.Event()
        self._beats = 0
        self._ended = 0  # calls, since the last full collection

    @property
    def parts(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("the voice runtime has not started")
        return self._parts

    @property
    def ready(self) -> bool:
        """Whether callers may be sent here."""
        return self._parts is not None and not self.draining

    @property
    def loop_lag_ms(self) -> float:
        """How late the event loop has been of late: the 95th percentile of the last seconds."""
        lags = sorted(self._lags)
        return lags[int(len(lags) * 0.95)] if lags else 0.0

    async def start(self) -> None:
        """Load everything, then take the name: from then on callers come. Raises `workers.NameTaken`."""
        self._parts = await self._start_parts()
        gc.collect()
        gc.freeze()
        # No full collection during calls, as far as it is ours. The young are collected often and few at a time:
        # looking at 80,000 held up every call for 30 ms, and what waits to be collected is memory.
        gc.set_threshold(2_000, 5, 100_000)
        await self._register()
        self._loop = asyncio.get_running_loop()
        slots.add_listener(self._asked_to_end)
        self.spawn(self._sample_forever(), "voice-lag")
        self.spawn(self._beat_forever(), "voice-beat")

    async def aclose(self) -> None:
        """End the calls that are left, give the name back and close everything."""
        slots.forget_listener(self._asked_to_end)
        for call in list(self.calls.values()):
            call.end("drained")
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while self.calls:  # noqa: ASYNC110 (calls end by themselves, each in its own task)
                    await asyncio.sleep(0.02)
        jobs, self._jobs = self._jobs, set()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        try:
            await self.in_thread(workers.resign, self.name)
        except Error as error:
            log.warning("the voice process's name could not be given back", error=str(error)[:200])
        if self._parts is not None:
            await self._parts.aclose()
            self._parts = None
        self._threads.shutdown(wait=False)

    def drain(self) -> None:
        """Take no more calls. Those that have a slot already may still come."""
        self.draining = True
        self._beat_now.set()

    async def drained(self) -> None:
        """Return when the last call has ended and nobody is on the way any more."""
        while self.calls or await self._expected():  # noqa: ASYNC110 (the database says who is expected)
            await asyncio.sleep(0.1)

    def build(
        self,
        record: CallRecord,
        transport: Transport,
        *,
        line: LineControl | None = None,
        watch: Callable[[CallLog], CallLog] | None = None,
    ) -> Awaitable[RunningCall]:
        """Put a call together (`voice.building.build_call`)."""
        return self._build(self.parts, record, transport, line=line, watch=watch)

    async def run(self, call_id: str, call: RunningCall) -> CallSummary | None:
        """Run a call to its end, and free its slot. None when it broke."""
        self.calls[call_id] = call
        reason, error = "cancelled", ""
        try:
            summary = await call.run()
            reason, error = summary.reason, summary.error
            return summary
        except Exception as failure:
            reason, error = "failed", f"{type(failure).__name__}: {failure}"
            log.exception("a call broke", call_id=call_id)
            return None
        finally:
            del self.calls[call_id]
            self.free(call_id, reason, error)
            self._collect_later()

    def _collect_later(self) -> None:
        """A call that is over is a circle of objects, and old: only a full collection finds it, which does not come
        by itself here. It holds up the calls that go on; the lead of what they hear is meant to bridge that."""
        self._ended += 1
        if not self.calls or self._ended >= _COLLECT_EVERY:
            self._ended = 0
            asyncio.get_running_loop().call_later(_COLLECT_SECONDS, gc.collect)

    def free(self, call_id: str, reason: str, error: str = "") -> None:
        """Write down that a call is over. Returns at once."""
        self.spawn(self._free(call_id, reason, error), "voice-free")

    def end(self, call_id: str, reason: str) -> bool:
        """End one of this process's calls; False when it has none of that id."""
        call = self.calls.get(call_id)
        if call is not None:
            call.end(reason)
        return call is not None

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something that asks the database."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(_with_database, work, *args, **kwargs))

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Run something beside the calls; it is cancelled with the runtime."""
        job = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    def _asked_to_end(self, call_id: str, reason: str) -> None:
        """Somebody in this process, on any thread, wants a call ended: no need to wait for the heartbeat."""
        if self._loop is not None and call_id in self.calls:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self.end, call_id, reason)

    async def _register(self) -> None:
        register = partial(workers.register, address=self.address, slots=self.capacity)
        await self.in_thread(register, self.name)
        log.info("voice ready", worker=self.name, slots=self.capacity, address=self.address)

    async def _expected(self) -> int:
        try:
            return await self.in_thread(workers.expected, self.name)
        except Error:
            return 1  # unknown: ask again

    async def _free(self, call_id: str, reason: str, error: str) -> None:
        for pause in (0.2, 1.0, 5.0, 0.0):
            try:
                await self.in_thread(slots.finish, call_id, reason, error=error)
                return
            except Error as failure:
                log.warning("a call's slot could not be freed", call_id=call_id, error=str(failure)[:200])
                await asyncio.sleep(pause)

    async def _sample_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            late = max(0.0, loop.time() - due)
            self._lags.append(late * 1000)
            metrics.loop_lag(late)

    async def _beat_forever(self) -> None:
        while True:
            try:
                await self._beat()
            except (Error, workers.NameTaken) as error:
                log.warning("the voice process's lease is not renewed", error=str(error)[:200])
            try:
                async with asyncio.timeout(workers.BEAT_SECONDS):
                    await self._beat_now.wait()
                self._beat_now.clear()
            except TimeoutError:
                pass

    async def _beat(self) -> None:
        renew = partial(workers.renew, loop_lag_ms=self.loop_lag_ms, draining=self.draining)
        asked = await self.in_thread(renew, self.name)
        if asked is None:
            await self._register()
            return
        for call_id, reason in asked:
            self.end(call_id, reason)
        self._beats += 1
        if self._beats % _SWEEP_EVERY == 0:
            await self.in_thread(workers.sweep)
            await self.in_thread(self.parts.refresh)
            await self.in_thread(workers.end_orphans, self.name, list(self.calls), older=_ORPHAN_SECONDS)


def _with_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    try:
        return work(*args, **kwargs)
    finally:
        close_old_connections()


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, "asyncio.Task[VoiceRuntime]"] = WeakKeyDictionary()


async def obtain(make: Callable[[], VoiceRuntime] = VoiceRuntime) -> VoiceRuntime:
    """The running loop's runtime; started by whoever asks first. A start that failed is tried again."""
    loop = asyncio.get_running_loop()
    starting = _by_loop.get(loop)
    if starting is None or (starting.done() and (starting.cancelled() or starting.exception() is not None)):
        starting = _by_loop[loop] = loop.create_task(_started(make()), name="voice-start")
    return await asyncio.shield(starting)


def current() -> VoiceRuntime | None:
    """The running loop's runtime, if it has been started."""
    starting = _by_loop.get(asyncio.get_running_loop())
    if starting is None or not starting.done() or starting.cancelled() or starting.exception() is not None:
        return None
    return starting.result()


async def forget() -> None:
    """Close the running loop's runtime, if there is one."""
    runtime = current()
    _by_loop.pop(asyncio.get_running_loop(), None)
    if runtime is not None:
        await runtime.aclose()


async def _started(runtime: VoiceRuntime) -> VoiceRuntime:
    try:
        await runtime.start()
    except BaseException:
        await runtime.aclose()
        raise
    return runtime
