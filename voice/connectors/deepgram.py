"""Deepgram's streaming recogniser. Words come while the caller speaks; `Finalize` settles a turn at once.

Facts: audio goes as binary messages, commands as text; ten seconds without either close the connection
(NET-0001). `Finalize` is answered by a result with `from_finalize`, but not always when there is nothing
left to settle.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import orjson

from agents.providers.errors import Failure, ProviderError
from agents.resilience.ports import Credential
from voice.audio import AudioFormat

from .inbox import Inbox
from .refusals import complaint
from .settings import settings_for
from .types import SttOptions, Transcript
from .websocket import WebSocket, address

URL: Final = "wss://api.deepgram.com"
MODEL: Final = "nova-3"
KEEP_ALIVE: Final = 4.0  # seconds of silence from us after which we say that we are there
# Seconds after `Finalize` in which an answer must come: with nothing left to settle, and with words in hand.
NOTHING_LEFT: Final = 0.6  # more than the hedge's patience: a mute service looks the same
WORDS_LEFT: Final = 1.5


class Deepgram:
    """`connectors.stt.config`: `model`, `endpointing` (ms of silence, or false), `language` (for example
    `multi`), and `options`, a mapping that goes into the query as it is."""

    name = "deepgram"
    partials = True
    expected_ms = 200.0

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def open(self, format: AudioFormat, options: SttOptions) -> "DeepgramTranscription":
        listening = DeepgramTranscription(format)
        await listening.connect(
            address(self._credential.base_url or URL, "/v1/listen", _query(format, options)),
            {"Authorization": f"Token {self._credential.api_key}"},
        )
        return listening

    async def warm(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing is kept between callers."""


def _query(format: AudioFormat, options: SttOptions) -> dict[str, Any]:
    settings = settings_for(options.extra, "deepgram")
    model = str(settings.get("model") or MODEL)
    query: dict[str, Any] = {
        "model": model,
        "encoding": "mulaw" if format.encoding == "mulaw" else "linear16",
        "sample_rate": format.rate,
        "channels": 1,
        "language": settings.get("language") or options.language,
        "interim_results": "true",
        "punctuate": "true",
        "endpointing": _plain(settings.get("endpointing", 300)),
    }
    if options.phrases:  # older models take single words with a weight instead
        query["keyterm" if model.startswith(("nova-3", "flux")) else "keywords"] = list(options.phrases)
    more = settings.get("options")
    return query | ({key: _plain(value) for key, value in more.items()} if isinstance(more, Mapping) else {})


def _plain(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


class DeepgramTranscription:
    """One caller's stream."""

    def __init__(self, format: AudioFormat) -> None:
        self._format = format
        self._inbox: Inbox[Transcript] = Inbox()
        self._socket: WebSocket | None = None
        self._waiting = 0  # `finish_turn` calls without an answer
        self._unsettled = ""  # the last partial, since the last final
        self._fed_at = 0.0
        self._alarms: dict[str, asyncio.TimerHandle] = {}

    async def connect(self, url: str, headers: Mapping[str, str]) -> None:
        self._socket = await WebSocket.connect(
            url, headers, service="deepgram", on_message=self._heard, on_lost=self._lost
        )
        self._fed_at = asyncio.get_running_loop().time()
        self._set_alarm("keep alive", KEEP_ALIVE, self._keep_alive)

    def feed(self, audio: bytes) -> None:
        if self._socket is not None and audio:  # an empty message would end the stream
            self._socket.send(audio)
            self._fed_at = asyncio.get_running_loop().time()

    def finish_turn(self) -> None:
        self._waiting += 1
        if self._socket is not None:
            self._socket.send('{"type":"Finalize"}')
        self._set_alarm("answer", WORDS_LEFT if self._unsettled else NOTHING_LEFT, self._settle)

    async def results(self) -> AsyncGenerator[Transcript, None]:
        async for transcript in self._inbox.read():
            yield transcript

    async def aclose(self) -> None:
        self._stop()
        self._inbox.close()
        if self._socket is not None:
            self._socket.send('{"type":"CloseStream"}')
            await self._socket.aclose()

    def _heard(self, message: str | bytes) -> None:
        try:
            data = orjson.loads(message)
            match data["type"]:
                case "Results":
                    self._results(data)
                case "Error":
                    said = data.get("description") or data.get("message")
                    self._lost(complaint("deepgram", data.get("variant"), said))
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
            self._lost(
                ProviderError(Failure.MALFORMED, f"deepgram: unreadable: {error!r:.200}", provider="deepgram")
            )

    def _results(self, data: Mapping[str, Any]) -> None:
        best = data["channel"]["alternatives"][0]
        text = str(best["transcript"]).strip()
        if not data["is_final"]:
            if text:
                self._unsettled = text
                self._inbox.put(Transcript(text, confidence=best.get("confidence")))
            return
        self._unsettled = ""
        closes = bool(data.get("from_finalize")) and self._waiting > 0
        self._inbox.put(
            Transcript(
                text,
                final=True,
                closes=closes,
                endpoint=bool(data.get("speech_final")),
                confidence=best.get("confidence") if text else None,
                until_ms=(float(data["start"]) + float(data["duration"])) * 1000,
            )
        )
        if closes:
            self._waiting -= 1
            if not self._waiting:
                self._clear_alarm("answer")
        elif self._waiting and "answer" in self._alarms:
            self._set_alarm("answer", NOTHING_LEFT, self._settle)

    def _settle(self) -> None:
        """No answer to `Finalize`: there was nothing left, or the words in hand are the best there is."""
        text, self._unsettled = self._unsettled, ""
        while self._waiting:
            self._waiting -= 1
            self._inbox.put(Transcript(text, final=True, closes=True))
            text = ""

    def _lost(self, error: ProviderError) -> None:
        self._stop()
        self._inbox.fail(_explained(error))
        if self._socket is not None:
            self._socket.abort()

    def _keep_alive(self) -> None:
        quiet = asyncio.get_running_loop().time() - self._fed_at
        if quiet >= KEEP_ALIVE and self._socket is not None:
            self._socket.send('{"type":"KeepAlive"}')
            quiet = 0.0
        self._set_alarm("keep alive", KEEP_ALIVE - quiet, self._keep_alive)

    def _set_alarm(self, name: str, seconds: float, act: Any) -> None:
        self._clear_alarm(name)
        self._alarms[name] = asyncio.get_running_loop().call_later(max(seconds, 0.01), act)

    def _clear_alarm(self, name: str) -> None:
        if alarm := self._alarms.pop(name, None):
            alarm.cancel()

    def _stop(self) -> None:
        for name in list(self._alarms):
            self._clear_alarm(name)


def _explained(error: ProviderError) -> ProviderError:
    """DATA-0000 says that our audio is not what we announced: it proves the service alive."""
    if "DATA-0000" in str(error):
        error.category = Failure.INVALID_REQUEST
    return error
