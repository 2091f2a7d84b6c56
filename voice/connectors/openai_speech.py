"""OpenAI's ears and voice: realtime transcription over a WebSocket, and the speech endpoint over HTTP.

Facts: a transcription session takes mu-law at 8 kHz or PCM at 24 kHz; without turn detection nothing is
settled before `input_audio_buffer.commit`, which needs 100 ms of audio; an item's `completed` holds its whole
text. The speech endpoint's `pcm` is 24 kHz. Its models are announced to end on 2027-01-06: then name
another by `model`, or an address that serves the same interface.
"""

import base64
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import orjson

from agents.providers.errors import Failure, ProviderError
from agents.resilience.ports import Credential
from voice.audio import STUDIO, TELEPHONE, AudioFormat
from voice.pipeline.resample import Resampler

from .http_voice import HttpVoice
from .inbox import Inbox
from .refusals import complaint
from .settings import settings_for
from .types import Speech, SttOptions, Transcript, TtsOptions
from .websocket import WebSocket, address

URL: Final = "https://api.openai.com/v1"
TRANSCRIBER: Final = "gpt-live-transcribe"
SPEAKER: Final = "gpt-4o-mini-tts"
VOICE: Final = "alloy"
LEAST: Final = 100.0  # milliseconds: a shorter buffer is refused
_TRANSCRIPT: Final = "conversation.item.input_audio_transcription."


class OpenAIRecogniser:
    """`connectors.stt.config`: `model`, `language`, `prompt`, `delay`, `noise_reduction` (near_field or
    far_field)."""

    name = "openai"
    partials = True
    expected_ms = 300.0

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def open(self, format: AudioFormat, options: SttOptions) -> "OpenAITranscription":
        listening = OpenAITranscription(format)
        await listening.connect(
            address(self._credential.base_url or URL, "/realtime", {"intent": "transcription"}),
            {"Authorization": f"Bearer {self._credential.api_key}"},
            _session(format, options),
        )
        return listening

    async def warm(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing is kept between callers."""


def _session(format: AudioFormat, options: SttOptions) -> dict[str, Any]:
    settings = settings_for(options.extra, "openai")
    model = str(settings.get("model") or TRANSCRIBER)
    transcription: dict[str, Any] = {
        "model": model,
        "language": str(settings.get("language") or options.language).partition("-")[0],
    }
    for name in ("prompt", "delay"):
        if settings.get(name):
            transcription[name] = settings[name]
    if options.phrases:
        if model in ("gpt-transcribe", "gpt-live-transcribe"):
            transcription["keywords"] = list(options.phrases)
        elif model != "gpt-realtime-whisper":  # which takes no hints
            transcription.setdefault("prompt", ", ".join(options.phrases))
    audio: dict[str, Any] = {
        "format": {"type": "audio/pcmu"} if format == TELEPHONE else {"type": "audio/pcm", "rate": 24_000},
        "transcription": transcription,
        "turn_detection": None,
    }
    if settings.get("noise_reduction"):
        audio["noise_reduction"] = {"type": settings["noise_reduction"]}
    return {"type": "transcription", "audio": {"input": audio}}


class OpenAITranscription:
    """One caller's session."""

    def __init__(self, format: AudioFormat) -> None:
        self._format = format
        self._wire = format if format == TELEPHONE else STUDIO
        self._resampler = Resampler(format, self._wire)
        self._inbox: Inbox[Transcript] = Inbox()
        self._socket: WebSocket | None = None
        self._fed = 0  # bytes, of the caller's format
        self._committed = 0
        self._commits: deque[int] = deque()  # where each commit without an answer was
        self._heard_of: dict[str, str] = {}  # item → its words so far

    async def connect(self, url: str, headers: Mapping[str, str], session: Mapping[str, Any]) -> None:
        self._socket = await WebSocket.connect(
            url, headers, service="openai", on_message=self._heard, on_lost=self._lost
        )
        self._socket.send_json({"type": "session.update", "session": session})

    def feed(self, audio: bytes) -> None:
        self._fed += len(audio)
        if self._socket is not None and (piece := self._resampler.push(audio)):
            encoded = base64.b64encode(piece).decode()
            self._socket.send(f'{{"type":"input_audio_buffer.append","audio":"{encoded}"}}')

    def finish_turn(self) -> None:
        if self._format.duration(self._fed - self._committed) < LEAST + self._resampler.delay_ms:
            self._inbox.put(Transcript("", final=True, closes=True, until_ms=self._at(self._committed)))
            return
        self._committed = self._fed
        self._commits.append(self._fed)
        if self._socket is not None:
            self._socket.send('{"type":"input_audio_buffer.commit"}')

    async def results(self) -> AsyncGenerator[Transcript, None]:
        async for transcript in self._inbox.read():
            yield transcript

    async def aclose(self) -> None:
        self._inbox.close()
        if self._socket is not None:
            await self._socket.aclose()

    def _at(self, fed: int) -> float:
        return self._format.duration(fed)

    def _heard(self, message: str | bytes) -> None:
        try:
            data = orjson.loads(message)
            kind = data["type"]
            if kind == _TRANSCRIPT + "delta":
                text = self._heard_of.get(data["item_id"], "") + (data.get("delta") or "")
                self._heard_of[data["item_id"]] = text
                if text.strip():
                    self._inbox.put(Transcript(text.strip()))
            elif kind == _TRANSCRIPT + "completed":
                self._heard_of.pop(data["item_id"], None)
                self._settle(str(data["transcript"]).strip())
            elif kind == _TRANSCRIPT + "failed":
                self._lost(_error(data["error"]))
            elif kind == "error":
                self._refused(data["error"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            self._lost(
                ProviderError(Failure.MALFORMED, f"openai: unreadable: {error!r:.200}", provider="openai")
            )

    def _settle(self, text: str) -> None:
        """An item is complete. Items are answered in the order of the commits."""
        until = self._at(self._commits.popleft()) if self._commits else None
        self._inbox.put(Transcript(text, final=True, closes=until is not None, until_ms=until))

    def _refused(self, error: Mapping[str, Any]) -> None:
        if error.get("code") == "input_audio_buffer_commit_empty":
            self._settle("")
        else:
            self._lost(_error(error))

    def _lost(self, error: ProviderError) -> None:
        self._inbox.fail(error)
        if self._socket is not None:
            self._socket.abort()


def _error(data: Mapping[str, Any]) -> ProviderError:
    return complaint("openai", data.get("code") or data.get("type"), data.get("message"))


class OpenAIVoice:
    """`connectors.tts.config`: `model`, `voice`, `instructions`. Speaks slowly at first: about 0.4 s."""

    name = "openai"
    expected_ms = 400.0

    def __init__(self, credential: Credential) -> None:
        self._url = (credential.base_url or URL).rstrip("/") + "/audio/speech"
        self._headers = {
            "Authorization": f"Bearer {credential.api_key}",
            "Content-Type": "application/json",
        }
        self._http = HttpVoice(self.name, credential.api_key)

    async def synthesize(
        self, text: str, format: AudioFormat, options: TtsOptions
    ) -> AsyncGenerator[Speech, None]:
        settings = settings_for(options.extra, "openai")
        body: dict[str, Any] = {
            "model": settings.get("model") or SPEAKER,
            "voice": options.voice or VOICE,
            "input": text,
            "response_format": "pcm",
        }
        if options.speed != 1.0:
            body["speed"] = min(max(options.speed, 0.25), 4.0)
        if settings.get("instructions"):
            body["instructions"] = settings["instructions"]
        speech = self._http.speak(self._url, self._headers, orjson.dumps(body), STUDIO, format)
        try:
            async for piece in speech:
                yield piece
        finally:
            await speech.aclose()

    async def warm(self, format: AudioFormat, options: TtsOptions) -> None:
        await self._http.connect(self._url)

    async def aclose(self) -> None:
        await self._http.aclose()
