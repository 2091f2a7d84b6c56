"""What a telephone carries besides words: a voice to cut words from, a room, a cough, a "mm-hm"."""

from functools import cache

import numpy as np

from .g711 import FRAME, RATE, decode, encode
from .synthesised import espeak

# Hardly a consonant in it that stops the voice: whatever is cut out of it is taken for speech.
_VOICED = (
    "Many men mail my money home in a yellow envelope, while all our well known animals run away along a "
    "mellow river, and nobody knows why. Our ruling lawyer will allow a meal on Monday morning."
)
_VOICES = ("en-us", "en-gb", "en-us+m3", "en-us+f2", "en-gb-scotland", "en-us+m7")


@cache
def carrier(voice: int = 1) -> bytes:
    """A loop of somebody talking without a pause. mu-law, whole frames, the same on every machine."""
    sound = espeak(_VOICED, _VOICES[voice % len(_VOICES)]).astype(np.float64)
    framed = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    loud = np.sqrt(np.mean(framed**2, axis=1))
    kept = framed[loud > 0.2 * np.median(loud)]
    return encode(kept.ravel() / np.max(np.abs(kept)) * 16_000)


@cache
def noise(level_db: float = -45.0, seconds: int = 4) -> bytes:
    """Room noise: pink, so it does not sound like a line fault. mu-law."""
    random = np.random.default_rng(2)
    spectrum = np.fft.rfft(random.normal(0, 1, seconds * RATE))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    sound = np.fft.irfft(spectrum)
    return encode(sound / np.sqrt(np.mean(sound**2)) * 32768 * 10 ** (level_db / 20))


@cache
def cough(milliseconds: int = 240) -> bytes:
    """A rough burst that dies away, with a little voice in the middle, as coughs have."""
    random = np.random.default_rng(3)
    count = RATE * milliseconds // 1000
    time = np.arange(count) / RATE
    burst = np.convolve(random.normal(0, 1, count), np.ones(4) / 4, "same") * np.exp(-time * 14)
    voice = decode(carrier())[:count] / 32768 * np.exp(-(((time - 0.09) / 0.05) ** 2))
    sound = (burst + 3 * voice) * np.minimum(1, time / 0.004)
    return encode(sound / np.max(np.abs(sound)) * 18_000)


@cache
def hum(milliseconds: int = 320) -> bytes:
    """Two nasal syllables: "mm-hm"."""
    count = RATE * milliseconds // 1000
    time = np.arange(count) / RATE
    middle = milliseconds / 2000
    phase = np.cumsum(120 + 40.0 * (time > middle)) / RATE
    sound = sum(np.sin(2 * np.pi * n * phase) / n**1.8 for n in range(1, 8))
    gap = 1 - 0.8 * np.exp(-(((time - middle) / 0.02) ** 2))
    ends = np.minimum(1, np.minimum(time, time[-1] - time) / 0.02)
    return encode(np.asarray(sound) * gap * ends * 7_000)
