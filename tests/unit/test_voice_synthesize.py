"""A text as a WAV file: clause by clause, without what a service that gave up had said."""

import io
import wave
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from agents.providers.errors import Failure, ProviderError
from tests.unit.voice_agent_world import session
from voice.audio import STUDIO
from voice.config import Connector, SessionConfig
from voice.connectors.types import Speech, SpeechUse, TtsOptions
from voice.standalone import Standalone
from voice.synthesize import synthesize


class Speaker:
    """Says each clause as two samples a character, in pieces."""

    def __init__(self, *pieces: Any) -> None:
        self.said: list[str] = []
        self.closed = False
        self._pieces = pieces

    async def speak(self, text: str, *, queued_ms: Callable[[], float]) -> AsyncGenerator[Speech, None]:
        self.said.append(text)
        for piece in self._pieces or (Speech(b"\1\0" * len(text), connector="local"),):
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def use(self) -> tuple[SpeechUse, ...]:
        return (SpeechUse("local", "tts", characters=sum(map(len, self.said))),)

    async def aclose(self) -> None:
        self.closed = True


class Speeches:
    """A speech gateway with one speaker."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self.asked: list[Any] = []

    def speaker(self, project_id: str, names: Any, format: Any, options: TtsOptions) -> Speaker:
        self.asked.append((project_id, tuple(names), format, options))
        return self._speaker


def config(**tts: Any) -> SessionConfig:
    base = session()
    return SessionConfig("", "x", base.flow, {**base.connectors, "tts": Connector("azure", ("local",), tts)})


async def spoken(speaker: Speaker, text: str, *, voice: str = "", **tts: Any) -> tuple[Any, Any]:
    speeches = Speeches(speaker)
    parts = Standalone(None, speeches, None)  # type: ignore[arg-type]
    result = await synthesize(parts, project_id="p", config=config(**tts), text=text, voice=voice)
    return result, speeches.asked[0]


async def test_it_makes_a_wav_file() -> None:
    result, (project, names, format, options) = await spoken(Speaker(), "Good morning. How are you today?")
    with wave.open(io.BytesIO(result.audio)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.getnframes() == 32
    assert result.duration_ms == pytest.approx(32 / 24, abs=0.1)
    assert (project, names, format) == ("p", ("azure", "local"), STUDIO)
    assert (result.connector, result.use[0].characters) == ("local", 32)
    assert result.first_audio_ms is not None
    assert options.language == "en-US"


async def test_it_asks_for_the_voice() -> None:
    _, (*_, options) = await spoken(Speaker(), "Hello.", voice="Ann", speed=1.5, language="de-DE")
    assert (options.voice, options.speed, options.language) == ("Ann", 1.5, "de-DE")
    _, (*_, options) = await spoken(Speaker(), "Hello.", voice="", speed=2)
    assert (options.voice, options.speed) == ("", 2.0)


async def test_it_drops_what_a_service_that_gave_up_had_said() -> None:
    speaker = Speaker(
        Speech(b"\1\0", connector="azure"), Speech(b"\2\0\2\0", restarts=True, connector="local")
    )
    result, _ = await spoken(speaker, "Hello.")
    assert result.audio[44:] == b"\2\0\2\0"
    assert result.connector == "local"


async def test_it_closes_the_voice_when_nobody_can_speak() -> None:
    speaker = Speaker(ProviderError(Failure.CONNECTION, "gone"))
    with pytest.raises(ProviderError):
        await spoken(speaker, "Hello.")
    assert speaker.closed


async def test_it_says_nothing_for_nothing() -> None:
    result, _ = await spoken(Speaker(), "   ")
    assert (result.duration_ms, len(result.audio)) == (0.0, 44)
