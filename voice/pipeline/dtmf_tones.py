"""Telephone keys as tones, for lines that carry keys in the audio."""

from typing import Final

import numpy as np

from voice.audio import AudioFormat

from .mulaw import pack

KEYS: Final = "0123456789*#ABCDwW"

_ROWS: Final = (697, 770, 852, 941)
_COLUMNS: Final = (1209, 1336, 1477, 1633)
_PAD: Final = "123A456B789C*0#D"
_PEAK: Final = 10_000  # of each tone: both together stay below full scale
_RAMP_MS: Final = 4  # a tone that begins at once clicks
_WAITS: Final = {"w": 500, "W": 1000}


def tones(digits: str, format: AudioFormat, *, on_ms: int = 120, off_ms: int = 80) -> bytes:
    """Return the audio of these keys, each followed by silence. `w` waits half a second, `W` a whole one.

    Raises ValueError for anything else.
    """
    return b"".join(_key(key, format, on_ms, off_ms) for key in digits)


def _key(key: str, format: AudioFormat, on_ms: int, off_ms: int) -> bytes:
    if key in _WAITS:
        return format.silence * (format.rate * _WAITS[key] // 1000)
    place = _PAD.find(key.upper())
    if place < 0:
        raise ValueError(
            f"{key!r} is not a telephone key; there are 0-9, *, #, A-D, and w and W for waiting."
        )
    count = format.rate * on_ms // 1000
    angle = 2 * np.pi / format.rate * np.arange(count)
    wave = np.sin(angle * _ROWS[place // 4]) + np.sin(angle * _COLUMNS[place % 4])
    ramp = min(count // 2, format.rate * _RAMP_MS // 1000)
    slope = np.linspace(0, 1, ramp)
    wave[:ramp] *= slope
    wave[count - ramp :] *= slope[::-1]
    return pack(wave * _PEAK, format) + format.silence * (format.rate * off_ms // 1000)
