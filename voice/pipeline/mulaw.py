"""G.711 mu-law by tables, and how loud a piece of audio is. No `audioop`: Python 3.13 has none."""

import math
from typing import Any, Final

import numpy as np

from voice.audio import AudioFormat

SILENT_DB: Final = -96.0  # what digital silence is called: no logarithm of nothing

_BIAS: Final = 33  # G.711 adds it to the 14-bit magnitude, so that every segment begins at a power of two
_LARGEST: Final = 8158  # the largest magnitude that the eight segments hold


def _expanded() -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    code = np.arange(256, dtype=np.int32) ^ 0xFF  # the line carries every bit inverted
    magnitude = ((((code & 0x0F) << 1) + _BIAS) << ((code >> 4) & 0x07)) - _BIAS
    return (np.where(code & 0x80, -magnitude, magnitude) << 2).astype(np.int16)


def _compressed() -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    value = np.arange(1 << 16, dtype=np.int32)  # indexed by a sample read as unsigned
    value[1 << 15 :] -= 1 << 16
    magnitude = np.minimum(np.abs(value) >> 2, _LARGEST) + _BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 5
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 0x0F) | np.where(value < 0, 0x80, 0)
    found: np.ndarray[tuple[int], np.dtype[np.uint8]] = (code ^ 0xFF).astype(np.uint8)
    return found


_TO_LINEAR: Final = _expanded()
_TO_MULAW: Final = _compressed()
_SQUARES: Final = _TO_LINEAR.astype(np.float32) ** 2
_FULL_DB: Final = 20 * math.log10(32768.0)
_LEAST: Final = 10 ** ((SILENT_DB + _FULL_DB) / 10)


def samples(
    audio: bytes | bytearray | memoryview, format: AudioFormat
) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    """Return the audio as an array of 16-bit samples."""
    if format.encoding == "mulaw":
        return _TO_LINEAR.take(np.frombuffer(audio, dtype=np.uint8))
    return np.frombuffer(audio, dtype="<i2")


def pack(values: "np.ndarray[Any, np.dtype[Any]]", format: AudioFormat) -> bytes:
    """Return numbers in the range of 16 bits as audio; what is beyond it is clipped."""
    whole = np.clip(np.rint(values), -32768, 32767).astype("<i2")
    if format.encoding == "mulaw":
        whole = _TO_MULAW.take(whole.view("<u2"))
    return bytes(whole.tobytes())


def encode(pcm16: bytes) -> bytes:
    """Compress little-endian 16-bit samples."""
    return _TO_MULAW.take(np.frombuffer(pcm16, dtype="<u2")).tobytes()


def decode(mulaw: bytes) -> bytes:
    """Expand to little-endian 16-bit samples."""
    return _TO_LINEAR.take(np.frombuffer(mulaw, dtype=np.uint8)).astype("<i2", copy=False).tobytes()


def levels_db(audio: bytes, format: AudioFormat, size: int) -> list[float]:
    """Return the root mean square of every `size` bytes in dB of full scale (0 is the loudest square wave;
    `SILENT_DB` silence). The audio is a whole number of such pieces."""
    if format.encoding == "mulaw":
        squares = _SQUARES.take(np.frombuffer(audio, dtype=np.uint8))
    else:
        squares = np.frombuffer(audio, dtype="<i2").astype(np.float32) ** 2
    count = size // format.width
    # Half the cost is calling into numpy: one logarithm after the other is cheaper for the few pieces there are.
    sums = np.add.reduce(squares.reshape(-1, count), axis=1).tolist()
    return [10 * math.log10(max(_LEAST, total / count)) - _FULL_DB for total in sums]
