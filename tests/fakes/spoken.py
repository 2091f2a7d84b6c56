"""Fake speech whose every frame says which word it belongs to (`stamps`), for fake voices and fake callers.

Words last as long as words do: unevenly, so that nobody gets the heard text right by counting bytes.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .caller.g711 import FRAME, FRAME_MS, SILENCE
from .caller.sounds import carrier
from .stamps import stamp


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """Characters `start`-`end` of the text, spoken from `at_ms` for `ms`."""

    text: str
    start: int
    end: int
    at_ms: float
    ms: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text as mu-law, 8 kHz, in whole frames of 20 ms."""

    text: str
    audio: bytes
    words: tuple[SpokenWord, ...]

    @property
    def ms(self) -> float:
        return len(self.audio) / 8

    def characters(self) -> Iterator[tuple[str, float, float]]:
        """Each character with its beginning and its length in ms, as vendors with timestamps tell them."""
        at = 0.0
        for number, word in enumerate(self.words):
            each = word.ms / max(1, word.end - word.start)
            for place in range(word.start, word.end):
                yield self.text[place], word.at_ms + (place - word.start) * each, each
            at = word.at_ms + word.ms
            following = self.words[number + 1] if number + 1 < len(self.words) else None
            gap = self.text[word.end : following.start if following else len(self.text)]
            pause = (following.at_ms if following else self.ms) - at
            for place, character in enumerate(gap):
                yield character, at + pause * place / len(gap), pause / len(gap)


@lru_cache(maxsize=2000)
def speak(text: str, *, voice: int = 1, tail_ms: int = 0) -> Spoken:
    """Say it. The same text always sounds the same; texts differ in the utterance their stamps name."""
    utterance = zlib.crc32(text.encode()) & 255
    sound = carrier(voice)
    out: list[bytes] = []
    words: list[SpokenWord] = []
    place = zlib.crc32(text.encode()) % (len(sound) // FRAME)
    for number, match in enumerate(re.finditer(r"\S+", text)):
        word = match.group()
        count = _frames(word)
        piece = _cut(sound, place, count)
        place += count
        words.append(SpokenWord(word, match.start(), match.end(), len(out) * FRAME_MS, count * FRAME_MS))
        marked = stamp(piece, word, utterance, number, count)
        out.extend(marked[at : at + FRAME] for at in range(0, len(marked), FRAME))
        out.extend([SILENCE] * _pause(word))
    while out and out[-1] == SILENCE:
        out.pop()
    out.extend([SILENCE] * (tail_ms // FRAME_MS))
    return Spoken(text, b"".join(out), tuple(words))


def _frames(word: str) -> int:
    """180 ms and more; between 35 and 75 ms a letter, by the word."""
    each = 35 + zlib.crc32(word.encode()) % 41
    return max(9, round(len(word) * each / FRAME_MS))


def _pause(word: str) -> int:
    return {".": 12, "!": 12, "?": 12, ",": 6, ";": 8, ":": 8}.get(word[-1], 1)


def _cut(sound: bytes, place: int, count: int) -> bytes:
    total = len(sound) // FRAME
    begin = place % total
    piece = sound[begin * FRAME : (begin + count) * FRAME]
    while len(piece) < count * FRAME:
        piece += sound[: count * FRAME - len(piece)]
    return piece
