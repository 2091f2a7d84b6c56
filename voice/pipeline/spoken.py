"""How far a clause has been spoken when so much of its audio was played: with word times, or by a good guess.

Without word times the text is spread over the audio that is not silent: pauses in the audio are the signs of
the text, so letters are all that is counted, and figures for as many letters as they are spoken with.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final

from voice.audio import AudioFormat
from voice.connectors.types import WordTime

from .mulaw import SILENT_DB, levels_db

FRAME_MS: Final = 20
VOICED_DB: Final = -50.0
FIRST_PACE: Final = 62.0  # voiced milliseconds a letter, until a clause was measured

_SIGNS: Final = {
    "$": 6.0,
    "€": 5.0,
    "£": 6.0,
    "%": 6.0,
    "&": 3.0,
    "@": 2.0,
    "+": 4.0,
    "=": 6.0,
    "/": 4.0,
    "°": 6.0,
}
_DIGIT: Final = 3.5
_SPELT: Final = 2.5  # a letter of an abbreviation in capitals


class Spoken:
    """The text of a clause against its audio. `pace` is voiced milliseconds a letter, as measured so far."""

    def __init__(self, text: str, format: AudioFormat, pace: float) -> None:
        self.text = text
        self._levels = array("f")  # of each 20 ms
        self._frame = format.size(FRAME_MS)
        self._rest = b""  # of a frame that is not complete
        self._pace = pace
        self._format = format
        self._words: list[WordTime] = []
        self._voiced = array("L", [0])  # voiced frames before each frame
        self._received = 0
        self._ended = False

    def push(self, audio: bytes, words: tuple[WordTime, ...]) -> None:
        self._received += len(audio)
        self._words.extend(words)
        audio = self._rest + audio if self._rest else audio
        whole = len(audio) - len(audio) % self._frame
        self._rest = audio[whole:]
        if whole:
            found = levels_db(audio[:whole], self._format, self._frame)
            self._levels.extend(found)
            for level in found:
                self._voiced.append(self._voiced[-1] + (level > VOICED_DB))

    def end(self) -> float | None:
        """The audio is complete. Returns the pace it was spoken with, None when that says nothing."""
        self._ended = True
        weight = self._weights[-1]
        return self._voiced[-1] * FRAME_MS / weight if weight >= 8 and self._voiced[-1] else None

    def level(self, frame: int) -> float:
        """How loud a frame of 20 ms is, in dB; an incomplete last one counts as silent."""
        return self._levels[frame] if frame < len(self._levels) else SILENT_DB

    @cached_property
    def _weights(self) -> "array[float]":
        # Not before it is asked for, which is when the first audio has gone out.
        return array("d", accumulate(_weights(self.text), initial=0.0))

    @property
    def duration(self) -> float:
        """Milliseconds received so far."""
        return self._format.duration(self._received)

    def offset(self, played: float) -> int:
        """How many characters were heard after so many milliseconds: whole words, the last one counting from
        its half on."""
        if played <= 0 or not self.text:
            return 0
        if self._ended and played >= self.duration - 1:
            return len(self.text)
        return self._by_words(played) if self._words else self._by_weight(played)

    def _by_words(self, played: float) -> int:
        words = self._words
        last = bisect_right(words, played, key=lambda word: word.at_ms) - 1
        if last < 0:
            return 0
        word = words[last]
        if last + 1 < len(words):
            until = words[last + 1].at_ms
        else:
            letters = max(1.0, self._weights[min(word.end, len(self.text))] - self._weights[word.start])
            until = word.at_ms + letters * self._pace
        if played - word.at_ms >= (until - word.at_ms) / 2:
            return word.end
        return words[last - 1].end if last else 0

    def _by_weight(self, played: float) -> int:
        weight = self._weights[-1]
        frame = int(played // FRAME_MS)
        voiced = self._voiced[min(frame, len(self._voiced) - 1)] * FRAME_MS
        total: float = self._voiced[-1] * FRAME_MS
        if not self._ended:
            total = max(total, weight * self._pace)
        if not total or not weight:
            return int(len(self.text) * min(1.0, played / max(self.duration, 1.0)))
        return _whole_words(self.text, self._weights, weight * min(1.0, voiced / total))


def _whole_words(text: str, weights: Sequence[float], reached: float) -> int:
    """Where the last word ends of which at least half lies before `reached`."""
    at = bisect_right(weights, reached) - 1
    end = at
    while end < len(text) and not text[end].isspace():
        end += 1
    start = at
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    if end > start and reached - weights[start] >= (weights[end] - weights[start]) / 2 > 0:
        return end
    return len(text[:start].rstrip())


def _weights(text: str) -> list[float]:
    found = []
    for at, sign in enumerate(text):
        if sign.isdigit():
            found.append(_DIGIT)
        elif sign.isalpha():
            beside = text[at - 1 : at] + text[at + 1 : at + 2]
            spelt = sign.isupper() and beside.isupper() and not any(c.islower() for c in beside)
            found.append(_SPELT if spelt else 1.0)
        else:
            found.append(_SIGNS.get(sign, 0.0))
    return found
