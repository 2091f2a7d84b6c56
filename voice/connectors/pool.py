"""Processes for speech work that would hold the event loop's own: pocketsphinx keeps the GIL, espeak-ng may
crash on a text. They are spawned (a fork would copy the loop), warmed at the start, and end with their parent.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from typing import Final, ParamSpec, TypeVar

from agents.providers.errors import Failure, ProviderError
from voice.priority import step_back

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_LIMIT: Final = 5.0  # seconds that work under way is given to end


class SpeechPool:
    """Started at the first use, and again after a process has died. `load` is called in each new process."""

    def __init__(self, service: str, processes: int, load: Callable[[], None]) -> None:
        self._service = service
        self._processes = processes
        self._load = load
        self._executor: ProcessPoolExecutor | None = None
        self._starting = asyncio.Lock()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work in one of the processes. Cancelled work that has begun goes on, and is thrown away.

        Raises `ProviderError`: `nothing_sent` when the process died, `AUTHENTICATION` (not configured) when
        `work` finds that something is not installed. `work` must not raise it itself: it does not travel.
        """
        executor = await self._ready()
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, partial(work, *args, **kwargs))
        except BrokenProcessPool as error:
            if self._executor is executor:
                self._executor = None
            raise self._error(Failure.CONNECTION, "its process died", nothing_sent=True) from error
        except (ImportError, FileNotFoundError) as error:
            raise self._error(Failure.AUTHENTICATION, str(error), nothing_sent=True) from error
        except Exception as error:
            raise self._error(Failure.INTERNAL, repr(error)) from error

    async def aclose(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            with suppress(TimeoutError):  # they end with us
                async with asyncio.timeout(CLOSE_LIMIT):
                    await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)

    async def _ready(self) -> ProcessPoolExecutor:
        if self._executor is None:
            async with self._starting:
                if self._executor is None:
                    # Starting processes takes a while, and happens at `submit`: not on the loop.
                    self._executor = await asyncio.to_thread(self._start)
        return self._executor

    def _error(self, category: Failure, message: str, *, nothing_sent: bool = False) -> ProviderError:
        text = f"{self._service}: {message:.300}"
        return ProviderError(category, text, provider=self._service, nothing_sent=nothing_sent)

    def _start(self) -> ProcessPoolExecutor:
        executor = ProcessPoolExecutor(
            self._processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self._load,),
        )
        for started in [executor.submit(_nothing) for _ in range(self._processes)]:
            started.result()
        return executor


def _begin(load: Callable[[], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends us
    step_back()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(ImportError):  # the work itself tells: what is raised here only breaks the pool
        load()


def _end_with_parent() -> None:
    """A killed parent tells nobody, and waiting for its next order would last for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(0)


def _nothing() -> None:
    """The work of a process that is only to be there."""
