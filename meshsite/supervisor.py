"""`manage.py up`: the embedded servers, the web and the workers, in the foreground with one log.

It loads no Django application: that is for its children, which start when the servers have addresses.
"""

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, NoReturn

from meshsite import settings
from meshsite.children import Child, LinePrinter, describe
from meshsite.embedded import EmbeddedServers
from meshsite.embedded_home import EmbeddedError
from meshsite.startup import (
    CannotStart,
    answers,
    check_port,
    make_secrets,
    prepare_environment,
    programs,
    setup_program,
    summary,
    voice_ports,
)

READY_SECONDS = 60
READY_LINES_SECONDS = 5
WATCH_SECONDS = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `manage.py up`."""
    parser.add_argument(
        "--workers", type=int, default=settings.MESH_WORKERS, help="worker processes (default: MESH_WORKERS)"
    )
    parser.add_argument("--no-web", action="store_true", help="start workers only")


def main(argv: Sequence[str]) -> int:
    """Run everything until stopped; returns the exit code."""
    parser = argparse.ArgumentParser(prog="manage.py up", description="Start everything in the foreground.")
    add_arguments(parser)
    options = parser.parse_args(argv)
    return up(workers=options.workers, web=not options.no_web)


def up(*, workers: int, web: bool) -> int:
    """Run the servers, the web and the workers until stopped; returns the exit code."""
    began = time.monotonic()
    log = LinePrinter()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # until the event loop takes the signals over
    try:
        with ExitStack() as stack:
            if web:
                check_port(settings.HOST, settings.PORT)
                if settings.MESH_VOICE == "separate":
                    for port in voice_ports().values():
                        check_port(settings.HOST, port)
            make_secrets(settings.DATA_DIR)
            servers = _start_servers(stack, log)
            prepare_environment(servers)
            return asyncio.run(Supervisor(log, servers).run(workers=workers, web=web, began=began))
    except (CannotStart, EmbeddedError) as error:
        log("mesh", str(error))
        return 1
    except KeyboardInterrupt:
        log("mesh", "stopped")
        return 130


class Supervisor:
    """Starts the children in order, watches over them and the servers, and stops all in order."""

    def __init__(self, log: LinePrinter, servers: EmbeddedServers | None) -> None:
        self._log = log
        self._servers = servers
        self._stop = asyncio.Event()
        self._children: list[Child] = []

    async def run(self, *, workers: int, web: bool, began: float) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        made = await self._set_up()
        if made is None:
            return 1 if not self._stop.is_set() else 0
        self._children = [Child(program, self._log) for program in programs(workers=workers, web=web)]
        self._log("mesh", "Starting " + ", ".join(child.program.name for child in self._children) + ".")
        runs = [asyncio.create_task(child.keep_running()) for child in self._children]
        watch = asyncio.create_task(self._revive_servers())
        ready = asyncio.create_task(self._tell_when_ready(made, web=web, began=began))
        await self._stop.wait()
        ready.cancel()
        await self._end(runs)
        watch.cancel()
        self._log("mesh", "stopped")
        return 0

    async def _set_up(self) -> dict[str, Any] | None:
        """Bring the database up to date; the last line of that program is what it made, as JSON."""
        lines: list[str] = []

        def collect(name: str, line: str) -> None:
            lines.append(line)
            if not line.startswith("{"):
                self._log(name, line)

        child = Child(setup_program(), collect)
        self._children = [child]
        code = await child.run()
        if code == 0 and not self._stop.is_set():
            made: dict[str, Any] = json.loads(lines[-1])
            return made
        if not self._stop.is_set():
            self._log("mesh", f"The database could not be prepared ({describe(code)}); see above.")
        return None

    async def _tell_when_ready(self, made: dict[str, Any], *, web: bool, began: float) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while web and not await answers(settings.HOST, settings.PORT):
            if time.monotonic() > deadline:
                self._log("mesh", f"The web has not answered for {READY_SECONDS} s; see its lines above.")
                deadline = float("inf")
            await asyncio.sleep(0.05)
        with suppress(TimeoutError):  # so that this ends the start; a quieter log level never says it
            async with asyncio.timeout(READY_LINES_SECONDS):
                for child in self._children:
                    if child.program.ready_text:
                        await child.ready.wait()
        for line in summary(made, web=web, seconds=time.monotonic() - began):
            self._log("mesh", line)

    async def _revive_servers(self) -> None:
        """Start a server again that ended by itself. Blocks this thread: starting is for the main one."""
        delay = WATCH_SECONDS
        while self._servers:
            await asyncio.sleep(delay)
            delay = WATCH_SECONDS
            for server in self._servers.dead():
                code = server.process.returncode if server.process else 0
                self._log("mesh", f"{server.name} ended ({describe(code)}); it is started again")
                try:
                    server.start()
                except EmbeddedError as error:
                    self._log("mesh", str(error))
                    delay = 10

    async def _end(self, runs: list["asyncio.Task[None]"]) -> None:
        """End those that the others serve first, then the others."""
        pairs = list(zip(self._children, runs, strict=True))
        for first in (True, False):
            group = [(child, run) for child, run in pairs if child.program.ends_first is first]
            if group:
                await self._end_group([child for child, _ in group], [run for _, run in group])

    async def _end_group(self, children: list[Child], runs: list["asyncio.Task[None]"]) -> None:
        for child in children:
            child.stop()
        seconds = max(child.program.drain_seconds for child in children)
        _, late = await asyncio.wait(runs, timeout=seconds)
        if late:
            self._log("mesh", f"{len(late)} still at work after {seconds:g} s: killed")
            for child in children:
                child.kill()
            await asyncio.wait(late)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():  # asked twice: now
            for child in self._children:
                child.kill()
            return
        self._stop.set()
        calls = " and calls end" if any(child.program.ends_first for child in self._children) else ""
        self._log(
            "mesh", f"stopping; work in hand is finished or handed over{calls}; once more stops at once"
        )
        first = [child for child in self._children if child.program.ends_first]
        for child in first or self._children:
            child.stop()


def _start_servers(stack: ExitStack, log: LinePrinter) -> EmbeddedServers | None:
    postgres, valkey = not settings.DATABASE_URL, settings.EMBEDDED_REDIS
    if not (postgres or valkey):
        return None
    servers = EmbeddedServers(
        settings.DATA_DIR, postgres=postgres, valkey=valkey, report=lambda line: log("mesh", line)
    )
    stack.enter_context(servers)
    if servers.attached:
        raise CannotStart(
            f"{settings.DATA_DIR} is in use by another start of this service: stop that one, "
            "or name another folder by MESH_DATA_DIR."
        )
    return servers


def _interrupt(number: int, _frame: object) -> NoReturn:
    with suppress(ValueError):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
