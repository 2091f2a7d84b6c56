"""An event loop whose time jumps to the next timer: a minute of a call takes as long as its work.

    @virtual
    async def test_it_speaks() -> None: ...

`asyncio.sleep`, timeouts and `loop.time` agree; give `loop.time` as the clock of what is tested. No threads, no
sockets. Waiting for what nobody will do raises `Stuck` where a real loop would hang.
"""

import asyncio
import functools
import inspect
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Everybody waits and no timer runs."""


class _Selector(selectors.DefaultSelector):
    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Stuck("everybody waits and no timer runs")
        self.loop.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run to its end; its `asyncio.Task`s are cancelled then."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test function on a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        run_virtual(main())

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del run.__dict__["__wrapped__"]  # pytest-asyncio must not see the coroutine function
    return run
