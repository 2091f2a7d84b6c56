"""The agent's own words, come back by the line and transcribed as if the caller had said them. Times in ms."""

from typing import Final

from .turn import Turn
from .words import is_echo

_LATE_MS: Final = 2000.0  # after the agent's last word its echo may still be transcribed


class OwnVoice:
    def __init__(self) -> None:
        self._spoken = ""
        self._until = 0.0

    def finished(self, now: float, turn: Turn) -> None:
        """The agent has stopped speaking."""
        self._spoken, self._until = turn.spoken, now

    def is_in(self, text: str, now: float, turn: Turn | None, *, voice: bool) -> bool:
        """Tell whether `text` is the agent's. `turn`: what is being said now; `voice`: whether the caller
        has been heard, louder than an echo, when these words were said."""
        if turn is None:
            return not voice and now - self._until <= _LATE_MS and is_echo(text, self._spoken)
        return turn.audible and (not voice or is_echo(text, turn.spoken))
