"""The values every speech service speaks, in no vendor's dialect. Frozen, plain, without Django."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a recogniser has heard so far.

    A partial (`final` False) replaces the partial before it. A final segment is added to the finals of its
    turn. `closes` marks the answer to `Transcription.finish_turn`: every word fed before it is in the finals
    by now. `endpoint` is the vendor's own opinion that the caller has finished. `until_ms`, on finals: the
    milliseconds of this stream's audio that are settled by it, from services that say so.
    """

    text: str
    final: bool = False
    closes: bool = False
    endpoint: bool = False
    confidence: float | None = None
    until_ms: float | None = None


@dataclass(frozen=True, slots=True)
class SttOptions:
    """`language` is a BCP 47 tag; `phrases` are expected ones, for services that take hints; `extra` is
    `connectors.stt.config` as given: settings for all services, and for one under its name."""

    language: str = "en-US"
    phrases: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WordTime:
    """A word of the text that is being spoken: its characters `start`-`end`, and when it begins, in
    milliseconds of this text's audio."""

    start: int
    end: int
    at_ms: float


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of the audio of one text, in the format asked for.

    `words` tells where words begin, from services that say so. `restarts` marks the first piece of another
    service that took over: it begins the text anew, so what was not played yet of it is to be dropped.
    """

    audio: bytes
    words: tuple[WordTime, ...] = ()
    restarts: bool = False
    connector: str = ""


@dataclass(frozen=True, slots=True)
class TtsOptions:
    """`voice` is the vendor's name or id of a voice, empty its default; `speed` 1.0 is its usual pace;
    `extra` is `connectors.tts.config` as given: settings for all services, and for one under its name.
    `voice` is meant for the first service of the chain; the others' are in `extra[service]["voice"]`."""

    voice: str = ""
    language: str = "en-US"
    speed: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpeechUse:
    """What one service was used for in a call: seconds of audio heard, characters spoken, US dollars."""

    connector: str
    kind: str  # stt or tts
    seconds: float = 0.0
    characters: int = 0
    cost: float = 0.0
