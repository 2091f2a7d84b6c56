"""ElevenLabs' voices over their input-streaming WebSocket, one connection a clause, the next one open already.

Facts: the first message must be a space with the settings; `flush` makes it speak what it has, an empty text
ends the input; audio comes as base64 with the start of each character, counted from its own chunk's begin;
`isFinal` is the end. A connection without text is closed after `inactivity_timeout`.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from agents.providers.errors import Failure, ProviderError
from agents.resilience.ports import Credential
from voice.audio import AudioFormat
from voice.pipeline.resample import Resampler

from .alignment import Alignment
from .inbox import Inbox
from .refusals import complaint
from .settings import settings_for
from .types import Speech, TtsOptions
from .websocket import WebSocket, address

URL: Final = "wss://api.elevenlabs.io"
MODEL: Final = "eleven_flash_v2_5"
VOICE: Final = "JBFqnCBsd6RMkjVDRZzb"
IDLE: Final = 60  # seconds the vendor lets a connection wait for text
SPARE_LIFE: Final = 45.0  # seconds after which we do not trust a spare one any more
SPARE_DELAY: Final = 0.03  # seconds: a handshake at once would hold up this clause's first sound
PATIENCE: Final = 10.0  # seconds without a message: ends what no hedge watches
_RATES: Final = (8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_SETTINGS: Final = ("stability", "similarity_boost", "style", "use_speaker_boost")
_FAILURES: Final = {
    "quota_exceeded": Failure.BILLING,
    "invalid_api_key": Failure.AUTHENTICATION,
    "missing_permissions": Failure.AUTHENTICATION,
    "detected_unusual_activity": Failure.AUTHENTICATION,
    "voice_not_found": Failure.MODEL_NOT_FOUND,
    "model_not_found": Failure.MODEL_NOT_FOUND,
    "rate_limited": Failure.RATE_LIMITED,
    "too_many_concurrent_requests": Failure.RATE_LIMITED,
    "system_busy": Failure.OVERLOADED,
    "invalid_input_message": Failure.INVALID_REQUEST,
}


class ElevenLabs:
    """`connectors.tts.config`: `voice`, `model`, `stability`, `similarity_boost`, `style`,
    `use_speaker_boost`."""

    name = "elevenlabs"
    expected_ms = 150.0

    def __init__(self, credential: Credential) -> None:
        self._credential = credential
        self._spares: dict[tuple[str, bytes], _Connection] = {}
        self._opening: set[asyncio.Task[None]] = set()

    async def synthesize(
        self, text: str, format: AudioFormat, options: TtsOptions
    ) -> AsyncGenerator[Speech, None]:
        wire, code = _wire(format)
        key = self._key(code, options)
        connection = self._take(key) or await self._open(key)
        try:
            connection.speak(text)  # before all that can be done while the vendor works
            self._open_beside(key, after=SPARE_DELAY)
            resampler = Resampler(wire, format)
            alignment = Alignment(text)
            yielded = 0
            while (chunk := await connection.next()) is not None:
                words = alignment.words(chunk.times, format.duration(yielded))
                audio = resampler.push(chunk.audio)
                yielded += len(audio)
                if audio or words:
                    yield Speech(audio, words, connector=self.name)
            if audio := resampler.flush():
                yielded += len(audio)
                yield Speech(audio, connector=self.name)
            if not yielded:
                raise ProviderError(
                    Failure.MALFORMED, "elevenlabs: an answer without audio", provider=self.name
                )
        finally:
            connection.abort()  # a clause that was not spoken to its end is not billed to its end

    async def warm(self, format: AudioFormat, options: TtsOptions) -> None:
        key = self._key(_wire(format)[1], options)
        self._open_beside(key)
        if self._opening:
            await asyncio.wait(self._opening, timeout=PATIENCE)

    async def aclose(self) -> None:
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        spares, self._spares = list(self._spares.values()), {}
        for spare in spares:
            spare.abort()

    def _key(self, code: str, options: TtsOptions) -> tuple[str, bytes]:
        """Return what a connection is opened with: the address, and its first message."""
        settings = settings_for(options.extra, self.name)
        model = str(settings.get("model") or MODEL)
        query = {
            "model_id": model,
            "output_format": code,
            "inactivity_timeout": IDLE,
            "sync_alignment": "true",
            "auto_mode": "true",
        }
        if model.endswith("v2_5"):  # the others refuse it
            query["language_code"] = options.language.partition("-")[0]
        voice = quote(options.voice or VOICE, safe="")
        url = address(self._credential.base_url or URL, f"/v1/text-to-speech/{voice}/stream-input", query)
        how: dict[str, Any] = {name: settings[name] for name in _SETTINGS if name in settings}
        if options.speed != 1.0:
            how["speed"] = min(max(options.speed, 0.7), 1.2)
        first: dict[str, Any] = {"text": " "} | ({"voice_settings": how} if how else {})
        return url, orjson.dumps(first)

    def _take(self, key: tuple[str, bytes]) -> "_Connection | None":
        spare = self._spares.pop(key, None)
        return spare if spare is not None and spare.usable else None

    async def _open(self, key: tuple[str, bytes]) -> "_Connection":
        connection = _Connection()
        await connection.open(key, self._credential.api_key)
        return connection

    def _open_beside(self, key: tuple[str, bytes], *, after: float = 0.0) -> None:
        """Have a connection ready for the next clause; begin `after` seconds from now."""
        spare = self._spares.get(key)
        if self._opening or (spare is not None and spare.usable):
            return
        task = asyncio.create_task(self._keep_spare(key, after))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _keep_spare(self, key: tuple[str, bytes], after: float) -> None:
        await asyncio.sleep(after)
        try:
            spare = await self._open(key)
        except ProviderError:
            return  # the next clause tries, and tells
        for old, other in list(self._spares.items()):
            if old == key or not other.usable:
                self._spares.pop(old).abort()
        self._spares[key] = spare


class _Chunk:
    __slots__ = ("audio", "times")

    def __init__(self, audio: bytes, times: Mapping[str, Any] | None) -> None:
        self.audio = audio
        self.times = times


class _Connection:
    """One connection, for one clause."""

    def __init__(self) -> None:
        self._inbox: Inbox[_Chunk] = Inbox()
        self._socket: WebSocket | None = None
        self._born = asyncio.get_running_loop().time()
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        return self._socket is not None and self._socket.open and not self._inbox.ended

    async def open(self, key: tuple[str, bytes], api_key: str) -> None:
        url, first = key
        self._socket = await WebSocket.connect(
            url, {"xi-api-key": api_key}, service="elevenlabs", on_message=self._heard, on_lost=self._lost
        )
        self._socket.send(first.decode())
        self._expiry = asyncio.get_running_loop().call_later(SPARE_LIFE, self.abort)

    def speak(self, text: str) -> None:
        assert self._socket is not None
        if self._expiry is not None:
            self._expiry.cancel()
        clause = orjson.dumps({"text": text + " ", "flush": True}).decode()
        self._socket.send(clause, '{"text":""}')

    async def next(self) -> _Chunk | None:
        """Return the next piece; None at the end. Raises `ProviderError`."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._inbox.get()
        except TimeoutError as error:
            raise ProviderError(
                Failure.DEADLINE, f"elevenlabs: nothing for {PATIENCE:g} s", provider="elevenlabs"
            ) from error

    def abort(self) -> None:
        self._inbox.close()
        if self._expiry is not None:
            self._expiry.cancel()
        if self._socket is not None:
            self._socket.abort()

    def _heard(self, message: str | bytes) -> None:
        try:
            data = orjson.loads(message)
            if data.get("error"):
                self._lost(_error(data))
                return
            if audio := data.get("audio"):
                times = data.get("alignment") or data.get("normalizedAlignment")
                self._inbox.put(_Chunk(base64.b64decode(audio, validate=True), times))
            if data.get("isFinal"):
                self._inbox.close()
        except (ValueError, TypeError, AttributeError) as error:
            self._lost(
                ProviderError(
                    Failure.MALFORMED, f"elevenlabs: unreadable: {error!r:.200}", provider="elevenlabs"
                )
            )

    def _lost(self, error: ProviderError) -> None:
        error.category = _category(str(error)) or error.category
        self._inbox.fail(error)
        if self._socket is not None:
            self._socket.abort()


def _error(data: Mapping[str, Any]) -> ProviderError:
    """An error message: `{"error": name or {status, message}, "message", "code"}`."""
    told = data["error"]
    name = told.get("status") if isinstance(told, Mapping) else told
    said = told.get("message") if isinstance(told, Mapping) else data.get("message")
    return complaint("elevenlabs", name, f"{name}: {said}")


def _category(message: str) -> Failure | None:
    return next((failure for name, failure in _FAILURES.items() if name in message), None)


def _wire(format: AudioFormat) -> tuple[AudioFormat, str]:
    """Return what to ask for, in our words and in the vendor's."""
    if format.encoding == "mulaw" and format.rate == 8000:
        return format, "ulaw_8000"
    rate = format.rate if format.rate in _RATES else 24_000
    return AudioFormat("pcm16", rate), f"pcm_{rate}"
