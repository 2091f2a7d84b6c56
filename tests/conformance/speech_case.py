"""One speech service and the simulated vendor it talks to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.providers.errors import ProviderError
from agents.resilience.ports import Credential
from tests.fakes.caller.g711 import decode
from tests.fakes.speech_vendor import SpeechCall, SpeechVendor
from tests.fakes.spoken import speak
from tests.fakes.vendor_server import Vendors
from voice.audio import TELEPHONE, AudioFormat
from voice.connectors.base import SpeechToText, TextToSpeech, Transcription
from voice.connectors.registry import LOCAL, load_recogniser, load_voice
from voice.connectors.types import Speech, SttOptions, Transcript, TtsOptions

RECOGNISERS = ("deepgram", "openai", LOCAL)
VOICES = ("elevenlabs", "azure", "openai", LOCAL)
REMOTE_RECOGNISERS = RECOGNISERS[:-1]
REMOTE_VOICES = VOICES[:-1]
# The words, as sound that each recogniser understands: stamped speech, or for pocketsphinx a clear machine.
WORDS = "call forwarding"
FRAME_MS = 20


def vendor_of(vendors: Vendors, kind: str, name: str) -> SpeechVendor | None:
    return vendors.speech.get(f"openai_{kind}" if name == "openai" else name)


@dataclass
class Listening:
    """A recogniser listening to a caller, and everything it said so far."""

    stream: Transcription
    heard: list[Transcript] = field(default_factory=list)
    error: ProviderError | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for transcript in self.stream.results():
                self.heard.append(transcript)
                self.news.set()
        except ProviderError as error:
            self.error = error
        finally:
            self.news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self.task.done():
            self.news.clear()
            await self.news.wait()
        assert condition(), (self.heard, self.error)

    async def closed(self, times: int = 1) -> str:
        """Wait for the turn's end and return the finals' text."""
        await self.until(lambda: sum(item.closes for item in self.heard) >= times)
        return self.text

    async def failed(self) -> ProviderError:
        await self.task
        assert self.error is not None, self.heard
        return self.error

    @property
    def text(self) -> str:
        return " ".join(item.text for item in self.heard if item.final and item.text)

    async def say(self, audio: bytes, size: int = 160) -> None:
        for at in range(0, len(audio), size):
            self.stream.feed(audio[at : at + size])
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self.stream.aclose()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class EarCase:
    """One recogniser. `open` begins to listen; all is closed with the test."""

    name: str
    vendors: Vendors
    opened: list[Listening] = field(default_factory=list)
    services: list[SpeechToText] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vendor = vendor_of(self.vendors, "stt", self.name)

    def service(self, url: str = "", key: str = "key-of-the-test") -> SpeechToText:
        base = url or (self.vendor.url if self.vendor else "")
        self.services.append(load_recogniser(self.name)(Credential(key, base, "print")))
        return self.services[-1]

    async def open(
        self,
        format: AudioFormat = TELEPHONE,
        options: SttOptions | None = None,
        service: SpeechToText | None = None,
    ) -> Listening:
        told = options or SttOptions(phrases=(WORDS,))
        stream = await (service or self.service()).open(format, told)
        self.opened.append(Listening(stream))
        return self.opened[-1]

    @property
    def call(self) -> SpeechCall:
        assert self.vendor is not None
        return self.vendor.calls[-1]

    async def aclose(self) -> None:
        for listening in self.opened:
            await listening.aclose()
        for service in self.services:
            await service.aclose()


@dataclass
class VoiceCase:
    """One voice."""

    name: str
    vendors: Vendors
    services: list[TextToSpeech] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vendor = vendor_of(self.vendors, "tts", self.name)

    def service(self, url: str = "", key: str = "key-of-the-test") -> TextToSpeech:
        base = url or (self.vendor.url if self.vendor else "")
        self.services.append(load_voice(self.name)(Credential(key, base, "print")))
        return self.services[-1]

    async def speak(
        self,
        text: str,
        format: AudioFormat = TELEPHONE,
        options: TtsOptions | None = None,
        service: TextToSpeech | None = None,
    ) -> list[Speech]:
        stream = (service or self.service()).synthesize(text, format, options or TtsOptions())
        try:
            return [piece async for piece in stream]
        finally:
            await stream.aclose()

    @property
    def call(self) -> SpeechCall:
        """The last one that text was sent to: a spare connection may have come after it."""
        assert self.vendor is not None
        return next(call for call in reversed(self.vendor.calls) if call.text or call.status >= 400)

    async def aclose(self) -> None:
        for service in self.services:
            await service.aclose()


def said(text: str, tail_ms: int = 200) -> bytes:
    """Stamped speech, as a telephone brings it."""
    return speak(text, tail_ms=tail_ms).audio


def loudness(audio: bytes) -> float:
    return float(abs(decode(audio).astype(float)).mean()) if audio else 0.0
