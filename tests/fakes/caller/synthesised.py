"""Machines that can say any text: flite where it is installed (a fair caller), else espeak-ng (a poor one)."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import espeakng_loader
import numpy as np
import soxr
from numpy.typing import NDArray

from .recordings import read_wav

_SYNCHRONOUS, _UTF8, _CHUNK = 2, 1, 200
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def flite(text: str, voice: str = "rms") -> NDArray[np.int16] | None:
    """Say it with flite at 8 kHz; None where there is no flite."""
    program = shutil.which("flite")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run([program, "-voice", voice, "-t", text, "-o", str(path)], check=True, timeout=30)
        return read_wav(path)


@cache
def _espeak() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = str(espeakng_loader.get_data_path()).encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, _CHUNK, data, 0)
    if rate <= 0:
        raise RuntimeError("espeak-ng finds no data")
    return library, rate


def espeak(text: str, voice: str = "en-us") -> NDArray[np.int16]:
    """Say it with espeak-ng, at 8 kHz."""
    library, rate = _espeak()
    pieces: list[NDArray[np.int16]] = []

    def take(sound, count, _events) -> int:
        if sound and count:
            pieces.append(np.ctypeslib.as_array(sound, (count,)).copy())
        return 0

    callback = _CALLBACK(take)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(voice.encode())
    data = text.encode() + b"\0"
    library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 0, 0, _UTF8, None, None)
    sound = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return soxr.resample(sound, rate, 8000)


def say(text: str) -> NDArray[np.int16]:
    """Say it with the best machine there is, at 8 kHz."""
    said = flite(text)
    return espeak(text) if said is None else said
