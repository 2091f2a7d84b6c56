"""Keys the caller presses: collected until `#` or a pause, then they are a turn. Times in ms."""

from collections.abc import Callable
from typing import Final

KEYS: Final = frozenset("0123456789*#ABCD")
LONGEST: Final = 64


class Keys:
    def __init__(self) -> None:
        self._pressed = ""
        self._last = 0.0
        self.timeout_ms = 2000.0
        self.enough: Callable[[str], bool] = lambda pressed: False  # nothing more is to be waited for

    def press(self, now: float, key: str) -> str | None:
        """Take a key. Returns the whole input when it is complete, without the `#`."""
        if key == "#" or len(self._pressed) >= LONGEST:
            return self._take() or ("#" if key == "#" else None)
        self._pressed += key
        self._last = now
        return self._take() if self.enough(self._pressed) else None

    def tick(self, now: float) -> str | None:
        """Let time pass. Returns the input when nothing has been pressed for long enough."""
        deadline = self.deadline
        return self._take() if deadline is not None and now >= deadline - 0.01 else None

    @property
    def deadline(self) -> float | None:
        return self._last + self.timeout_ms if self._pressed else None

    def _take(self) -> str:
        pressed, self._pressed = self._pressed, ""
        return pressed
