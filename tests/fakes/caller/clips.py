"""Things a caller says, cut into frames that are ready to be sent."""

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.fakes import spoken, stamps

from . import sounds, synthesised
from .g711 import FRAME, FRAME_MS, SILENCE, decode, encode, frames
from .recordings import read_wav, recordings

SILENT_PAYLOAD = base64.b64encode(SILENCE)


@dataclass(frozen=True)
class Clip:
    """`text` is what is said in it, empty for a noise. The last frame still has sound."""

    text: str
    frames: tuple[bytes, ...]
    payloads: tuple[bytes, ...]

    @property
    def ms(self) -> int:
        return len(self.frames) * FRAME_MS


def from_base64(payload: str) -> bytes:
    return binascii.a2b_base64(payload)


def clip(text: str, audio: bytes) -> Clip:
    cut = tuple(frames(audio))
    return Clip(text, cut, tuple(base64.b64encode(frame) for frame in cut))


@lru_cache(maxsize=500)
def stamped(text: str) -> Clip:
    """Fake speech that fake recognisers understand, to the word."""
    return clip(text, spoken.speak(text).audio)


@lru_cache(maxsize=100)
def recorded(text: str) -> Clip | None:
    """A real person saying exactly this; None where no such recording is installed."""
    path = recordings().get(text.lower().strip(" .?!"))
    return from_samples(text, read_wav(path)) if path else None


@lru_cache(maxsize=100)
def from_file(path: str, text: str = "") -> Clip:
    return from_samples(text or Path(path).stem, read_wav(Path(path)))


@lru_cache(maxsize=100)
def said(text: str) -> Clip:
    """A real recording where there is one, else a machine."""
    return recorded(text) or from_samples(text, synthesised.say(text))


@lru_cache(maxsize=1)
def cough() -> Clip:
    return clip("", sounds.cough())


@lru_cache(maxsize=4)
def backchannel(text: str = "mm-hm") -> Clip:
    """A short sign of listening, which fake recognisers understand as such."""
    audio = sounds.hum()
    count = len(audio) // FRAME
    return clip(text, stamps.stamp(audio[: count * FRAME], text, 255, 0, count))


def from_samples(text: str, samples: NDArray[np.int16]) -> Clip:
    """Cut away the silence around; leave the sound as it was recorded."""
    audio = encode(samples)
    cut = frames(audio)
    loud = [float(np.sqrt(np.mean(decode(frame).astype(float) ** 2))) for frame in cut]
    threshold = max(loud) * 0.04
    voiced = [number for number, level in enumerate(loud) if level > threshold]
    return clip(text, b"".join(cut[max(0, voiced[0] - 2) : voiced[-1] + 1]))
