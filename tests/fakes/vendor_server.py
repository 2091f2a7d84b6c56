"""All simulated vendors on one port, for tests in process and as a process of its own.

/anthropic   Messages API                      /openai   Responses and Chat Completions
/google      Gemini API                        /local    Chat Completions of some other server
/deepgram    live transcription                /openai   also realtime transcription and speech
/elevenlabs  input-streaming speech            /azure    speech by REST
GET /healthz · GET /calls[?vendor=] · DELETE /calls · POST /script · POST /reset
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from .anthropic import AnthropicWire
from .azure import Azure
from .deepgram import Deepgram
from .elevenlabs import ElevenLabs
from .google import GoogleWire
from .openai_chat import ChatWire
from .openai_responses import ResponsesWire
from .openai_speech import OpenAISpeech, OpenAITranscriber
from .speech_vendor import SpeechFault, SpeechVendor
from .vendor import Vendor
from .vendor_http import Exchange, HttpServer, unused_url
from .vendor_script import Fault, Reply, Step
from .vendor_wire import JSON, Wire


class Vendors:
    """The vendors of models and of speech. `refused` is a URL where nobody listens."""

    def __init__(self, base: str = "", latency: float = 0.0) -> None:
        chat: dict[str, Wire] = {"/chat/completions": ChatWire()}
        self.anthropic = Vendor("anthropic", f"{base}/anthropic", {"/v1/messages": AnthropicWire()}, latency)
        self.openai = Vendor("openai", f"{base}/openai/v1", {"/responses": ResponsesWire(), **chat}, latency)
        self.google = Vendor("google", f"{base}/google", {"enerateContent": GoogleWire()}, latency)
        self.local = Vendor("local", f"{base}/local/v1", chat, latency)
        self.deepgram = Deepgram("deepgram", f"{base}/deepgram")
        self.elevenlabs = ElevenLabs("elevenlabs", f"{base}/elevenlabs")
        self.azure = Azure("azure", f"{base}/azure")
        self.openai_stt = OpenAITranscriber("openai_stt", f"{base}/openai/v1")
        self.openai_tts = OpenAISpeech("openai_tts", f"{base}/openai/v1")
        self.refused = unused_url()

    @property
    def speech(self) -> dict[str, SpeechVendor]:
        vendors = (self.deepgram, self.elevenlabs, self.azure, self.openai_stt, self.openai_tts)
        return {vendor.name: vendor for vendor in vendors}

    @property
    def all(self) -> dict[str, Vendor]:
        return {vendor.name: vendor for vendor in (self.anthropic, self.openai, self.google, self.local)}

    @property
    def everything(self) -> list[Vendor | SpeechVendor]:
        return [*self.all.values(), *self.speech.values()]

    async def handle(self, exchange: Exchange) -> None:
        """Send a request to the vendor its path begins with, or to the controls."""
        head, _, rest = exchange.path.lstrip("/").partition("/")
        for speech in self.speech.values():
            if speech.name.startswith(head) and exchange.path.endswith(speech.path):
                await speech.serve(exchange, f"/{rest}")
                return
        if vendor := self.all.get(head):
            await vendor.serve(exchange, f"/{rest}")
            return
        try:
            answer = self._control(exchange)
        except (KeyError, TypeError, ValueError) as error:
            exchange.send(400, JSON, orjson.dumps({"error": repr(error)}))
            return
        exchange.send(200 if answer is not None else 404, JSON, orjson.dumps(answer))

    def _control(self, exchange: Exchange) -> Any:
        match exchange.method, exchange.path:
            case "GET", "/healthz":
                return {"status": "ok"}
            case "GET", "/calls":
                name = exchange.query.get("vendor", "*")
                if name == "speech" or name in self.speech:
                    speakers = self._speech(name)
                    return {vendor.name: [call.to_json() for call in vendor.calls] for vendor in speakers}
                chosen = self._chosen(name)
                return {vendor.name: [call.to_json() for call in vendor.calls] for vendor in chosen}
            case "DELETE", "/calls":
                for vendor in self.everything:
                    vendor.calls.clear()
                return {}
            case "POST", "/reset":
                for vendor in self.everything:
                    vendor.reset()
                return {}
            case "POST", "/script":
                order = orjson.loads(exchange.body)
                if order["vendor"] == "speech" or order["vendor"] in self.speech:
                    self._script_speech(order)
                else:
                    self._script(order)
                return {}
        return None

    def _script(self, order: Mapping[str, Any]) -> None:
        """Take `{"vendor": name or "*", "steps"?: [step], "always"?: step or null, "latency_ms"?: number}`.

        A step is `{"reply": {…}}` or `{"fault": {…}}` with the fields of `vendor_script`.
        """
        for vendor in self._chosen(order["vendor"]):
            vendor.script(*(_step(step) for step in order.get("steps", ())))
            if "always" in order:
                vendor.always = _step(order["always"]) if order["always"] else None
            if "latency_ms" in order:
                vendor.latency = order["latency_ms"] / 1000

    def _script_speech(self, order: Mapping[str, Any]) -> None:
        """Take `{"vendor": name or "speech", "settings"?: {…}, "faults"?: [{…}], "always"?: {…} or null,
        "dead"?: bool}`, with the fields of `SpeechSettings` and `SpeechFault`."""
        for vendor in self._speech(order["vendor"]):
            vendor.set(**order.get("settings", {}))
            vendor.script(*(SpeechFault(**fault) for fault in order.get("faults", ())))
            if "always" in order:
                vendor.always = SpeechFault(**order["always"]) if order["always"] else None
            if "dead" in order:
                vendor.dead = order["dead"]

    def _speech(self, name: str) -> list[SpeechVendor]:
        return list(self.speech.values()) if name == "speech" else [self.speech[name]]

    def _chosen(self, name: str) -> list[Vendor]:
        return list(self.all.values()) if name == "*" else [self.all[name]]


@asynccontextmanager
async def vendor_servers(port: int = 0, latency: float = 0.0) -> AsyncIterator[Vendors]:
    """Run all vendors on one local port; `latency` is seconds to the first byte of good answers."""
    vendors = Vendors(latency=latency)
    async with HttpServer(vendors.handle, port) as server:
        for vendor in vendors.everything:
            vendor.url = server.url + vendor.url
        yield vendors


def _step(data: Mapping[str, Any]) -> Step:
    if "reply" in data:
        return Reply.from_json(data["reply"])
    return Fault(**data["fault"])
