"""A word to bridge the wait when there is nothing to say yet. Times in ms."""

from collections.abc import Sequence
from typing import Final

_NEXT_AFTER_MS: Final = (4000.0, 8000.0)  # a second one comes later, and so on


class Filler:
    """One call's; `begin` with each turn."""

    def __init__(self) -> None:
        self._phrases: Sequence[str] = ()
        self._after = 0.0
        self._spoken = 0  # in the call: phrases take turns
        self._in_turn = 0
        self._quiet_from = 0.0

    def begin(self, now: float, phrases: Sequence[str], after_ms: float) -> None:
        self._phrases = phrases
        self._after = after_ms
        self._in_turn = 0
        self._quiet_from = now

    def due_in(self, now: float, queued_ms: float) -> float | None:
        """How long from now a filler is wanted, `queued_ms` of audio being unheard; None for never."""
        if not self._phrases or self._after <= 0:
            return None
        if queued_ms > 0:
            self._quiet_from = now + queued_ms
        after = (
            self._after if not self._in_turn else max(self._after, _NEXT_AFTER_MS[min(self._in_turn, 2) - 1])
        )
        return max(0.0, self._quiet_from + after - now)

    def take(self, now: float) -> str:
        """Return the phrase to say."""
        phrase = self._phrases[self._spoken % len(self._phrases)]
        self._spoken += 1
        self.said(now)
        return phrase

    def said(self, now: float) -> None:
        """Something that bridges the wait was said."""
        self._in_turn += 1
        self._quiet_from = now

    def later(self, now: float) -> None:
        """This is no moment to speak; ask again."""
        self._quiet_from = now
