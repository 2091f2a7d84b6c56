"""Child processes of the supervisor: started tied to it, logged line by line, restarted with back-off."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from meshsite import tether

FIRST_DELAY = 0.2  # seconds; doubles with every early end
LONGEST_DELAY = 30.0
SETTLED_AFTER = 30.0  # a child that lived that long starts afresh with the first delay
LINE_LIMIT = 1024 * 1024

Log = Callable[[str, str], None]  # (name, line)


@dataclass(frozen=True)
class Program:
    """What to run, under which name in the log."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_text: str = ""  # the first line with it says that the program is at work
    drain_seconds: float = 30.0  # that it may take to end
    ends_first: bool = False  # the others serve it while it ends


class Child:
    """One program and the process that runs it now. Use from the main thread's event loop only."""

    def __init__(self, program: Program, log: Log) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self._log = log
        self.ready = asyncio.Event()
        self._stopping = asyncio.Event()

    async def keep_running(self) -> None:
        """Run the program, again whenever it ends, until `stop`."""
        delay = FIRST_DELAY
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self.run()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > SETTLED_AFTER:
                delay = FIRST_DELAY
            self._log(self.program.name, f"ended ({describe(code)}); starts again in {delay:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def run(self) -> int:
        """Run the program once and return its exit code, negative for a signal."""
        self.process = process = subprocess.Popen(  # noqa: ASYNC220 (from this thread, at once: the tie wants it)
            tether.argv(self.program.command, on_death=signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.program.env},
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which keeps the order
        )
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), process.stdout
        )
        pump = asyncio.create_task(self._pump(reader))
        try:
            return await _exit_of(process)
        finally:
            self._signal_group(signal.SIGKILL)  # what the program itself had started
            with suppress(TimeoutError):
                await asyncio.wait_for(pump, 2)
            pipe.close()

    def stop(self) -> None:
        """Ask the program to end, once (asked twice Celery drops its work), and do not start it again."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self.process:
            self.process.terminate()

    def kill(self) -> None:
        """End the program and everything that it started, now."""
        self._stopping.set()
        if self.process and self.process.returncode is None:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        if self.process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    async def _pump(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                line = b"(a line too long to show)\n"
            if not line:
                return
            if text := line.decode(errors="replace").rstrip():
                self._log(self.program.name, text)
                if self.program.ready_text and self.program.ready_text in text:
                    self.ready.set()


async def _exit_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process and nothing else.

    asyncio's own subprocesses count as ended only when their pipes are closed, and a pool's process that
    outlives a killed worker would keep the pipe open for ever. A thread of its own waits on every platform.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def tell(code: int) -> None:
        if not ended.cancelled():
            ended.set_result(code)

    def wait() -> None:
        code = process.wait()
        with suppress(RuntimeError):  # the loop is gone: nobody asks any more
            loop.call_soon_threadsafe(tell, code)

    threading.Thread(target=wait, daemon=True, name=f"wait-{process.pid}").start()
    return await ended


def describe(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


class LinePrinter:
    """Prints lines of many processes, each under its name, in the process's own colour on a terminal."""

    _COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)

    def __init__(self) -> None:
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._colour_of: dict[str, int] = {}

    def __call__(self, name: str, line: str) -> None:
        label = f"{name:<9}|"
        if self._coloured:
            colour = self._colour_of.setdefault(
                name, self._COLOURS[len(self._colour_of) % len(self._COLOURS)]
            )
            label = f"\x1b[{colour}m{label}\x1b[0m"
        # Nobody may be reading any more (the terminal is gone): that must not end the supervisor unclean.
        with suppress(OSError, ValueError):
            sys.stdout.write(f"{label} {line}\n")
            sys.stdout.flush()
