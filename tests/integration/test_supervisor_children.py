"""A child of the supervisor: its lines, its restarts, and that nothing of it stays."""

import asyncio
import os
import sys
from pathlib import Path

from meshsite.children import Child, Program
from tests.integration.processes import alive, until


class Lines:
    """Collects a log and lets a test wait for a line."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.seen.append(f"{name}: {line}")
        self._news.set()

    async def wait_for(self, text: str, *, times: int = 1) -> str:
        async with asyncio.timeout(20):
            while True:
                found = [line for line in self.seen if text in line]
                if len(found) >= times:
                    return found[-1]
                self._news.clear()
                await self._news.wait()


def python(code: str) -> Program:
    return Program("child", [sys.executable, "-u", "-c", code])


async def test_it_passes_lines_on_under_the_childs_name() -> None:
    lines = Lines()
    code = await Child(python("import sys; print('out'); print('err', file=sys.stderr)"), lines).run()
    assert code == 0
    assert lines.seen == ["child: out", "child: err"]


async def test_it_survives_a_line_without_end() -> None:
    lines = Lines()
    code = await Child(python("print('x' * 3_000_000); print('after')"), lines).run()
    assert code == 0
    assert lines.seen[-1] == "child: after"


async def test_it_restarts_with_growing_delays_and_says_why() -> None:
    lines = Lines()
    child = Child(python("raise SystemExit(3)"), lines)
    running = asyncio.create_task(child.keep_running())
    assert await lines.wait_for("0.2 s") == "child: ended (exit code 3); starts again in 0.2 s"
    assert await lines.wait_for("0.4 s") == "child: ended (exit code 3); starts again in 0.4 s"
    assert await lines.wait_for("0.8 s") == "child: ended (exit code 3); starts again in 0.8 s"
    child.stop()
    await running


async def test_it_names_the_signal_that_ended_a_child() -> None:
    lines = Lines()
    child = Child(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), lines)
    running = asyncio.create_task(child.keep_running())
    await lines.wait_for("ended (killed by SIGKILL)")
    child.stop()
    await running


async def test_it_stops_a_child_by_sigterm_and_does_not_restart_it() -> None:
    lines = Lines()
    code = "import signal, time; signal.signal(15, lambda *_: exit(0)); print('up'); time.sleep(60)"
    child = Child(python(code), lines)
    running = asyncio.create_task(child.keep_running())
    await lines.wait_for("up")
    child.stop()
    await asyncio.wait_for(running, 20)
    assert lines.seen == ["child: up"]


async def test_it_takes_away_what_a_child_had_started() -> None:
    lines = Lines()
    code = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
    await Child(python(code), lines).run()
    grandchild = int(lines.seen[0].removeprefix("child: "))
    until(lambda: not alive(grandchild), "the grandchild is gone")


async def test_it_takes_forked_children_along_when_a_child_is_killed(tmp_path: Path) -> None:
    lines = Lines()
    code = (
        "import os, time; from meshsite import tether; tether.tie_forks(); pid = os.fork()\n"
        "if pid: print(os.getpid(), pid)\n"
        "if not pid: os.setsid()\n"  # out of the group, so that only the tie can reach it
        "time.sleep(600)"
    )
    running = asyncio.create_task(Child(python(code), lines).run())
    parent, forked = map(int, (await lines.wait_for(" ")).removeprefix("child: ").split())
    os.kill(parent, 9)
    assert await running == -9
    until(lambda: not alive(forked), "the forked child is gone")
