"""Text to speech without a key: espeak-ng, by its library from `espeakng-loader` or its program on PATH.

It runs in a process of its own: the library has one state for everybody, and a text that crashed it would take
the calls along. Voices are espeak-ng's names ("en-us", "de", "en-gb+f3"); the language chooses one.
"""

import ctypes
import io
import shutil
import subprocess
import wave
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

from agents.providers.errors import Failure, ProviderError
from agents.resilience.ports import Credential
from voice.audio import AudioFormat
from voice.pipeline.resample import convert

from .pool import SpeechPool
from .types import Speech, TtsOptions, WordTime

WORDS_A_MINUTE: Final = 165
_SYNCHRONOUS: Final = 2
_DO_NOT_EXIT: Final = 0x8000  # the library would end the process where it finds no data
_UTF8: Final = 1
_RATE: Final = 1  # the parameter
_WORD: Final = 1  # the event
_BUFFER_MS: Final = 200

Found = tuple[int, int, float]  # a word: first character, end, milliseconds


class EspeakNg:
    name = "local"
    expected_ms = 60.0

    def __init__(self, credential: Credential) -> None:
        self._pool = SpeechPool(self.name, 1, load)

    async def synthesize(
        self, text: str, format: AudioFormat, options: TtsOptions
    ) -> AsyncGenerator[Speech, None]:
        voice = options.voice or options.language.lower()
        audio, words = await self._pool.run(speak, text, format, voice, options.speed)
        if not audio:
            raise ProviderError(Failure.MALFORMED, "local: no audio came of the text", provider=self.name)
        yield Speech(audio, tuple(WordTime(*word) for word in words), connector=self.name)

    async def warm(self, format: AudioFormat, options: TtsOptions) -> None:
        with suppress(ProviderError):  # the first clause tells
            await self._pool.run(load)

    async def aclose(self) -> None:
        await self._pool.aclose()


# What follows runs in the pool's process.


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # in milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
_library: Any = None
_rate = 0


def load() -> None:
    """Load the library once a process, where there is one."""
    global _library, _rate
    if _library is not None:
        return
    try:
        import espeakng_loader
    except ImportError:
        return
    _library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = str(espeakng_loader.get_data_path()).encode()
    _rate = _library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, data, _DO_NOT_EXIT)
    if _rate <= 0:
        _library = None


def speak(text: str, format: AudioFormat, voice: str, speed: float) -> tuple[bytes, list[Found]]:
    """Return the text as audio, and when its words begin (not by the program)."""
    if not text.strip():
        return b"", []
    pcm, rate, words = (
        _by_library(text, voice, speed) if _library is not None else _by_program(text, voice, speed)
    )
    return convert(pcm, AudioFormat("pcm16", rate), format), words


def _by_library(text: str, voice: str, speed: float) -> tuple[bytes, int, list[Found]]:
    pieces: list[bytes] = []
    words: list[Found] = []

    def take(sound: Any, count: int, events: Any) -> int:
        if sound and count:
            pieces.append(ctypes.string_at(sound, count * 2))
        at = 0
        while events and events[at].type:
            event = events[at]
            if event.type == _WORD:
                start = event.text_position - 1
                words.append((start, start + event.length, float(event.audio_position)))
            at += 1
        return 0

    callback = _Callback(take)
    _library.espeak_SetSynthCallback(callback)
    names = (voice, voice.partition("-")[0], "en")
    if all(_library.espeak_SetVoiceByName(name.encode()) for name in names):  # 0 is success
        raise RuntimeError("espeak-ng has no voices")
    _library.espeak_SetParameter(_RATE, round(WORDS_A_MINUTE * speed), 0)
    data = text.encode() + b"\0"
    _library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 0, 0, _UTF8, None, None)
    return b"".join(pieces), _rate, words


def _by_program(text: str, voice: str, speed: float) -> tuple[bytes, int, list[Found]]:
    program = shutil.which("espeak-ng") or shutil.which("espeak")
    if program is None:
        raise FileNotFoundError("neither the package espeakng-loader nor a program espeak-ng is installed")
    order = [program, "-v", voice, "-s", str(round(WORDS_A_MINUTE * speed)), "--stdin", "--stdout"]
    done = subprocess.run(order, input=text.encode(), capture_output=True, timeout=20, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace")[:200]
        raise RuntimeError(f"espeak-ng failed: {said}")
    with wave.open(io.BytesIO(done.stdout)) as sound:
        # A stream's header names no length: what is there is what there is.
        return sound.readframes(len(done.stdout)), sound.getframerate(), []
