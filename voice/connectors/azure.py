"""Azure's neural voices, by its REST interface: SSML in, raw audio out.

Facts: the key goes into `Ocp-Apim-Subscription-Key`, a token into `Authorization`; a `User-Agent` is
required; errors have a status and mostly an empty body.
"""

import re
from collections.abc import AsyncGenerator
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from agents.resilience.ports import Credential
from voice.audio import AudioFormat

from .http_voice import HttpVoice
from .settings import settings_for
from .types import Speech, TtsOptions

VOICE: Final = "en-US-AvaMultilingualNeural"  # speaks the language of the text
PATH: Final = "/cognitiveservices/v1"
_FORMATS: Final = {
    AudioFormat("mulaw", 8000): "raw-8khz-8bit-mono-mulaw",
    AudioFormat("pcm16", 8000): "raw-8khz-16bit-mono-pcm",
    AudioFormat("pcm16", 16_000): "raw-16khz-16bit-mono-pcm",
    AudioFormat("pcm16", 24_000): "raw-24khz-16bit-mono-pcm",
    AudioFormat("pcm16", 48_000): "raw-48khz-16bit-mono-pcm",
}
_OTHERWISE: Final = AudioFormat("pcm16", 24_000)
# What XML 1.0 cannot hold, even as an entity.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Azure:
    """The credential's `base_url` is the region's (`https://REGION.tts.speech.microsoft.com`). A key that
    begins with "Bearer " is a token. `connectors.tts.config`: `voice`, `language`."""

    name = "azure"
    expected_ms = 150.0

    def __init__(self, credential: Credential) -> None:
        self._url = credential.base_url.rstrip("/") + PATH
        key = credential.api_key
        self._headers = {"Content-Type": "application/ssml+xml", "User-Agent": "ai-mesh-network"} | (
            {"Authorization": key} if key.startswith("Bearer ") else {"Ocp-Apim-Subscription-Key": key}
        )
        self._http = HttpVoice(self.name, key)

    async def synthesize(
        self, text: str, format: AudioFormat, options: TtsOptions
    ) -> AsyncGenerator[Speech, None]:
        source = format if format in _FORMATS else _OTHERWISE
        headers = self._headers | {"X-Microsoft-OutputFormat": _FORMATS[source]}
        speech = self._http.speak(self._url, headers, ssml(text, options).encode(), source, format)
        try:
            async for piece in speech:
                yield piece
        finally:
            await speech.aclose()

    async def warm(self, format: AudioFormat, options: TtsOptions) -> None:
        await self._http.connect(self._url)

    async def aclose(self) -> None:
        await self._http.aclose()


def ssml(text: str, options: TtsOptions) -> str:
    """Wrap a text for the vendor. Whatever is in it is spoken and never understood as markup."""
    settings = settings_for(options.extra, "azure")
    language = quoteattr(str(settings.get("language") or options.language))
    spoken = escape(_NOT_XML.sub(" ", text))
    if options.speed != 1.0:
        spoken = f'<prosody rate="{(options.speed - 1) * 100:+.0f}%">{spoken}</prosody>'
    return (
        f'<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang={language}>'
        f"<voice name={quoteattr(options.voice or VOICE)}>{spoken}</voice></speak>"
    )
