"""Azure's text-to-speech REST interface, from the outside: `/cognitiveservices/v1`."""

from typing import Any
from xml.etree import ElementTree

from .speech_audio import Sound
from .speech_vendor import SpeechCall, SpeechFault, SpeechVendor
from .spoken_http import send_audio
from .vendor_http import Exchange

FORMATS = {
    "raw-8khz-8bit-mono-mulaw": ("mulaw", 8000),
    "raw-8khz-16bit-mono-pcm": ("pcm16", 8000),
    "raw-16khz-16bit-mono-pcm": ("pcm16", 16_000),
    "raw-24khz-16bit-mono-pcm": ("pcm16", 24_000),
    "raw-48khz-16bit-mono-pcm": ("pcm16", 48_000),
}
_SSML = "{http://www.w3.org/2001/10/synthesis}"


class Azure(SpeechVendor):
    path = "/cognitiveservices/v1"
    key_header = "ocp-apim-subscription-key"

    async def serve(self, exchange: Exchange, path: str) -> None:
        if "authorization" in exchange.headers:  # a token does as well
            exchange.headers.setdefault(self.key_header, exchange.headers["authorization"])
        await super().serve(exchange, path)

    def error_body(self, fault: SpeechFault) -> Any:
        return {"error": {"code": fault.error or str(fault.status), "message": fault.message}}

    def problem(self, exchange: Exchange, path: str) -> str:
        headers = exchange.headers
        if headers.get("x-microsoft-outputformat") not in FORMATS:
            return "no such X-Microsoft-OutputFormat"
        if headers.get("content-type") != "application/ssml+xml" or not headers.get("user-agent"):
            return "SSML and a User-Agent are expected"
        try:
            root = ElementTree.fromstring(exchange.body)
        except ElementTree.ParseError as error:
            return f"no XML: {error}"
        voices = root.findall(f"{_SSML}voice")
        if root.tag != f"{_SSML}speak" or len(voices) != 1 or not voices[0].get("name"):
            return "no SSML"
        return ""

    async def play(self, exchange: Exchange, call: SpeechCall, fault: SpeechFault | None) -> None:
        encoding, rate = FORMATS[exchange.headers["x-microsoft-outputformat"]]
        call.messages.append(exchange.body.decode())
        call.text = "".join(ElementTree.fromstring(exchange.body).itertext())
        await send_audio(exchange, call, Sound.of(call.text, encoding, rate), fault, self.settings)
