"""`POST /v1/synthesize`: a text spoken by a session's voice, as a WAV file."""

import struct
import time
from dataclasses import dataclass, replace
from typing import Final

from voice.audio import STUDIO, AudioFormat
from voice.config import SessionConfig
from voice.connectors.types import SpeechUse, TtsOptions
from voice.pipeline.sentences import ClauseSplitter
from voice.standalone import Standalone

MOST_CHARACTERS: Final = 5000


@dataclass(frozen=True, slots=True)
class Spoken:
    """`audio` is a whole WAV file. `connector` is the service that spoke last. Times in milliseconds."""

    audio: bytes
    duration_ms: float
    connector: str
    first_audio_ms: float | None
    total_ms: float
    use: tuple[SpeechUse, ...]


async def synthesize(
    parts: Standalone,
    *,
    project_id: str,
    config: SessionConfig,
    text: str,
    voice: str = "",
    format: AudioFormat = STUDIO,
) -> Spoken:
    """Speak a text, sentence by sentence, by the services of `connectors.tts`. Raises `ProviderError`.

    `format` must be PCM. An empty `voice` is the config's.
    """
    tts = config.connectors["tts"]
    speaker = parts.speech.speaker(project_id, tts.names, format, _options(config, voice))
    started = time.monotonic()
    pieces: list[bytes] = []
    first_audio_ms: float | None = None
    connector = ""
    splitter = ClauseSplitter()
    try:
        for clause in (*splitter.push(text), *splitter.flush()):
            if not clause.strip():
                continue
            spoken: list[bytes] = []
            stream = speaker.speak(clause, queued_ms=lambda: 0.0)
            try:
                async for piece in stream:
                    if piece.restarts:
                        spoken.clear()  # another service took over and says it anew
                    spoken.append(piece.audio)
                    connector = piece.connector or connector
                    if first_audio_ms is None and piece.audio:
                        first_audio_ms = round((time.monotonic() - started) * 1000, 1)
            finally:
                await stream.aclose()
            pieces += spoken
        use = speaker.use()
    finally:
        await speaker.aclose()
    audio = b"".join(pieces)
    total_ms = round((time.monotonic() - started) * 1000, 1)
    return Spoken(
        wav(audio, format), round(format.duration(len(audio)), 1), connector, first_audio_ms, total_ms, use
    )


def wav(audio: bytes, format: AudioFormat) -> bytes:
    """Put a header before PCM samples."""
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + len(audio), b"WAVE", b"fmt ", 16, 1, 1, format.rate, format.rate * format.width,
        format.width, 8 * format.width, b"data", len(audio),
    )  # fmt: skip
    return head + audio


def _options(config: SessionConfig, voice: str) -> TtsOptions:
    given = config.connectors["tts"].config
    options = TtsOptions(
        voice=voice or str(given.get("voice") or ""),
        language=str(given.get("language") or config.language),
        extra=given,
    )
    speed = given.get("speed")
    return replace(options, speed=float(speed)) if isinstance(speed, int | float) else options
