"""Speech services and where they live. A module, and what it needs, is imported on first use."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from .base import SpeechToText, TextToSpeech
from .ports import Credential

LOCAL: Final = "local"  # needs no key, and is there when nothing else is

RECOGNISERS: Final[Mapping[str, str]] = {
    "deepgram": "voice.connectors.deepgram.Deepgram",
    "openai": "voice.connectors.openai_speech.OpenAIRecogniser",
    LOCAL: "voice.connectors.local_stt.PocketSphinx",
}
VOICES: Final[Mapping[str, str]] = {
    "elevenlabs": "voice.connectors.elevenlabs.ElevenLabs",
    "azure": "voice.connectors.azure.Azure",
    "openai": "voice.connectors.openai_speech.OpenAIVoice",
    LOCAL: "voice.connectors.local_tts.EspeakNg",
}

RecogniserFactory = Callable[[Credential], SpeechToText]
VoiceFactory = Callable[[Credential], TextToSpeech]


def load_recogniser(name: str) -> RecogniserFactory:
    """Return the class of a recogniser. Raises `KeyError` for an unknown one."""
    return cast(RecogniserFactory, _load(RECOGNISERS[name]))


def load_voice(name: str) -> VoiceFactory:
    """Return the class of a voice. Raises `KeyError` for an unknown one."""
    return cast(VoiceFactory, _load(VOICES[name]))


def _load(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
