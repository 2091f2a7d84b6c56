"""From the times of characters, as services tell them, to the times of words of the text that was sent."""

import re
from collections.abc import Mapping
from typing import Any, Final

from .types import WordTime

_LOOK_AHEAD: Final = 12  # characters of the text that the service may have left out


class Alignment:
    """Follows one text through its chunks, whose times count from the chunk's own begin."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans = [match.span() for match in re.finditer(r"\S+", text)]
        self._word = 0  # the next word to tell
        self._at = 0  # the next character of the text

    def words(self, times: Mapping[str, Any] | None, chunk_at_ms: float) -> tuple[WordTime, ...]:
        """Return the words that begin in a chunk whose audio begins at `chunk_at_ms` of the clause.

        Raises `TypeError`, `KeyError` or `ValueError` for times that are none.
        """
        if times is None:
            return ()
        starts = times["charStartTimesMs"] if "charStartTimesMs" in times else times["char_start_times_ms"]
        pairs = zip(times["chars"], starts, strict=True)
        told = (self._step(char, chunk_at_ms + float(at)) for char, at in pairs)
        return tuple(word for word in told if word is not None)

    def _step(self, char: str, at_ms: float) -> WordTime | None:
        """Take one character; return the word that it begins."""
        if not char or char.isspace():
            return None
        at = self._text.find(char, self._at, self._at + _LOOK_AHEAD)
        if at < 0:
            return None  # spoken otherwise than written
        self._at = at + 1
        while self._word < len(self._spans) and self._spans[self._word][1] <= at:
            self._word += 1  # left out
        if self._word == len(self._spans) or at < self._spans[self._word][0]:
            return None
        start, end = self._spans[self._word]
        self._word += 1
        return WordTime(start, end, at_ms)
