"""From one audio format to another, without waiting for audio that has not come.

A polyphase filter of our own: it looks 8 samples of the lower rate ahead (1 ms at 8 kHz), where the usual
libraries hold back 64 ms in their good qualities.
"""

from functools import lru_cache
from math import gcd
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from voice.audio import AudioFormat

from .mulaw import pack, samples

Array = np.ndarray[Any, np.dtype[np.float32]]

_REACH: Final = 8  # samples of the lower rate that the filter sees to either side
_PASS: Final = 0.92  # of the lower rate's band; the rest is the filter's slope
_KAISER: Final = 7.0  # about 70 dB of what would fold back


@lru_cache(maxsize=32)
def phases(up: int, down: int) -> Array:
    """Return the filter for `up`/`down` times the rate: a row of weights for each of `up` phases, over the
    samples from oldest to newest."""
    stretch = max(1.0, down / up)  # a slower target needs a lower, hence longer, filter
    reach = int(np.ceil(_REACH * stretch))
    at = np.arange(up)[:, None] / up - (np.arange(2 * reach) - reach + 1)[None, :]
    window = np.i0(_KAISER * np.sqrt(np.clip(1 - (at / reach) ** 2, 0, None))) / np.i0(_KAISER)
    weights = np.sinc(at / stretch * _PASS) * window
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


class Resampler:
    """A stream's way from one format to another. Keeps what the filter needs between two pieces."""

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        common = gcd(source.rate, target.rate)
        self._up, self._down = target.rate // common, source.rate // common
        self._filter = phases(self._up, self._down)
        self._reach = self._filter.shape[1] // 2
        self._rest = np.zeros(self._reach * 2 - 1, dtype=np.float32)  # before the first sample: silence
        self._phase = 0  # of the next sample, in source samples / up, from the first complete window on
        self._odd = b""  # half a sample

    @property
    def delay_ms(self) -> float:
        """How much the filter holds back."""
        return 0.0 if self.source.rate == self.target.rate else self._reach / self.source.rate * 1000

    def push(self, audio: bytes) -> bytes:
        """Return what can be said of the audio so far."""
        if self.source == self.target:
            return audio
        if self.source.width == 2:
            audio = self._odd + audio if self._odd else audio
            whole = len(audio) & ~1
            audio, self._odd = audio[:whole], audio[whole:]
        given = samples(audio, self.source)
        if self.source.rate == self.target.rate:
            return pack(given, self.target)
        return pack(self._filtered(given.astype(np.float32)), self.target)

    def flush(self) -> bytes:
        """Return the rest at the end of the stream."""
        self._odd = b""
        if self.source.rate == self.target.rate:
            return b""
        return pack(self._filtered(np.zeros(self._reach, dtype=np.float32)), self.target)

    def _filtered(self, given: Array) -> Array:
        line = np.concatenate((self._rest, given))
        width = self._reach * 2
        windows = len(line) - width + 1
        if windows <= 0:
            self._rest = line
            return np.zeros(0, dtype=np.float32)
        count = max(0, -(-(windows * self._up - self._phase) // self._down))
        ticks = self._phase + self._down * np.arange(count)
        view = sliding_window_view(line, width)[ticks // self._up]
        result = np.einsum("ij,ij->i", view, self._filter[ticks % self._up])
        self._phase += self._down * count - windows * self._up
        self._rest = line[windows:]
        return np.asarray(result, dtype=np.float32)


def convert(audio: bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    """Convert a whole piece at once; it keeps its length in time and is not shifted."""
    if source == target:
        return audio
    resampler = Resampler(source, target)
    converted = resampler.push(audio) + resampler.flush()
    if source.rate == target.rate:
        return converted
    length = round(len(audio) // source.width * target.rate / source.rate) * target.width
    skip = round(resampler.delay_ms * target.rate / 1000) * target.width
    kept = converted[skip : skip + length]
    return kept + target.silence * ((length - len(kept)) // target.width)
