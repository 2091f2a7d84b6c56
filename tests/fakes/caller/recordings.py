"""Real people's speech that some machines have installed, with the words that are said in it.

Debian: `apt-get install asterisk-core-sounds-en-wav pocketsphinx-testdata`.
"""

import re
import wave
from functools import cache
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

_ASTERISK = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
_SPHINX = Path("/usr/share/pocketsphinx/test/data")
# Prompts whose words are certain, being their names.
_PROMPTS = (
    "hello",
    "goodbye",
    "call-waiting",
    "call-forwarding",
    "do-not-disturb",
    "hello-world",
    "digits/tomorrow",
    "digits/yesterday",
    "digits/today",
)


def read_wav(path: Path) -> NDArray[np.int16]:
    """Read a mono recording of 16 bits (a `.raw` has 16 kHz), as 8 kHz."""
    if path.suffix == ".raw":
        return resampled(np.frombuffer(path.read_bytes(), "<i2"), 16_000)
    with wave.open(str(path)) as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path}: samples of 16 bits are wanted")
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        sound = sound.reshape(-1, file.getnchannels())[:, 0]
        return resampled(sound, file.getframerate())


def resampled(sound: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    return sound if rate == 8000 else soxr.resample(sound, rate, 8000)


@cache
def recordings() -> dict[str, Path]:
    """What is installed: words, in lower case, and the recording of them. May be empty."""
    found: dict[str, Path] = {}
    for name in _PROMPTS:
        path = _ASTERISK / f"{name}.wav"
        if path.exists():
            found[name.rpartition("/")[2].replace("-", " ")] = path
    for folder, listing in (("cards", "cards.transcription"), ("librivox", "transcription")):
        transcript = _SPHINX / folder / listing
        if transcript.exists():
            for words, name in re.findall(r"<s>\s*(.*?)\s*</s> \((\S+)\)", transcript.read_text()):
                path = _SPHINX / folder / f"{name}.wav"
                if path.exists():
                    found.setdefault(words, path)
    if (_SPHINX / "goforward.raw").exists():
        found["go forward ten meters"] = _SPHINX / "goforward.raw"
    return found
