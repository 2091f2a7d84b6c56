"""One timer for everything in a call that waits for a moment."""

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls `ring` at the moment set last. `now_ms` is the clock in ms."""

    def __init__(self, now_ms: Callable[[], float], ring: Callable[[], None]) -> None:
        self._now_ms = now_ms
        self._ring = ring
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Ring at `at` instead of what was set before; None for never."""
        if at == self._at:
            return
        self.close()
        self._at = at
        if at is not None:
            wait = max(0.0, at - self._now_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait, self._rings)

    def _rings(self) -> None:
        self._at = self._timer = None
        self._ring()

    def close(self) -> None:
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
