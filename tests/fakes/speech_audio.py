"""What fake voices say, in the formats that vendors are asked for."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .caller import g711
from .spoken import speak

VOICE = 2


@dataclass(frozen=True)
class Sound:
    """A text as audio. Only mu-law keeps the words that are written into it."""

    audio: bytes
    bytes_a_ms: float
    characters: tuple[tuple[str, float, float], ...]

    @classmethod
    def of(cls, text: str, encoding: str, rate: int) -> "Sound":
        return _sound(text, encoding, rate)

    @property
    def ms(self) -> float:
        return len(self.audio) / self.bytes_a_ms

    def pieces(self, chunk_ms: float) -> list[bytes]:
        size = max(2, int(chunk_ms * self.bytes_a_ms) & ~1)
        return [self.audio[at : at + size] for at in range(0, len(self.audio), size)]

    def alignment(self, begin_ms: float, end_ms: float) -> dict[str, Any]:
        """The characters that begin in a piece, with times from the piece's begin."""
        within = [item for item in self.characters if begin_ms <= item[1] < end_ms]
        return {
            "chars": [char for char, _, _ in within],
            "charStartTimesMs": [round(at - begin_ms) for _, at, _ in within],
            "charsDurationsMs": [round(length) for _, _, length in within],
        }


@lru_cache(maxsize=500)
def _sound(text: str, encoding: str, rate: int) -> Sound:
    spoken = speak(text, voice=VOICE)
    characters = tuple(spoken.characters())
    if encoding == "mulaw":
        return Sound(spoken.audio, 8.0, characters)
    samples = g711.decode(spoken.audio)
    count = len(samples) * rate // 8000
    stretched = np.interp(np.arange(count) * 8000 / rate, np.arange(len(samples)), samples)
    return Sound(stretched.astype("<i2").tobytes(), rate * 2 / 1000, characters)
