"""One simulated speech service: its settings, its faults, what it was asked. Cheap: bench runs against it."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from .vendor_http import Exchange
from .vendor_wire import JSON

SpeechFaultKind = Literal[
    "status",  # an HTTP error instead of the socket or the audio
    "silence",  # everything is taken, nothing comes
    "cut",  # the connection breaks off
    "close",  # a good-bye in mid-sentence (a WebSocket close; an early end over HTTP)
    "garbage",  # what no parser reads
    "html",  # a page instead of a socket or audio
    "error_frame",  # the vendor's own error message
    "empty",  # a proper end, without any audio or words
    "drip",  # the right answer, but each piece `interval` seconds after the other
]
SOCKET_FAULTS: tuple[SpeechFaultKind, ...] = ("status", "silence", "cut", "close", "garbage", "error_frame")


@dataclass(frozen=True)
class SpeechFault:
    """How one connection (recognisers, ElevenLabs) or request fails.

    `after_ms` is how much audio goes well before: of speech heard, or of speech spoken.
    """

    kind: SpeechFaultKind = "status"
    status: int = 503
    error: str = ""
    message: str = "scripted fault"
    after_ms: float = 0.0
    interval: float = 0.5
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SpeechSettings:
    """How a service does when all is well. Recognisers: `utterances` are what the first, second, … utterance
    of each connection says; without them the words are read from the sound (`stamps`). A word is known
    `word_ms` of speech after the one before; finals come `tail_ms` after the turn's end.

    Voices: the first audio comes after `first_audio_ms`, in pieces of `chunk_ms`, `chunk_interval_ms` apart.
    """

    open_ms: float = 0.0
    utterances: tuple[str, ...] = ()
    word_ms: float = 200.0
    partials: bool = True
    tail_ms: float = 0.0
    answers_empty: bool = True  # to a turn's end with nothing left to say
    idle_seconds: float = 10.0
    first_audio_ms: float = 0.0
    chunk_ms: float = 250.0
    chunk_interval_ms: float = 0.0
    timestamps: bool = True


@dataclass
class SpeechCall:
    """One connection or request. `heard_ms` is audio taken, `spoken_ms` audio sent; `text` what was said."""

    id: str
    path: str
    api_key: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    at: float
    gone: asyncio.Event
    status: int = 0
    heard_ms: float = 0.0
    spoken_ms: float = 0.0
    text: str = ""
    messages: list[Any] = field(default_factory=list)  # what came, without audio
    complete: bool = False

    async def spoken(self, milliseconds: float) -> None:
        """Wait until so much audio has been sent."""
        while self.spoken_ms < milliseconds:  # noqa: ASYNC110  an event a chunk would cost bench more
            await asyncio.sleep(0.005)

    def to_json(self) -> dict[str, Any]:
        keys = ("id", "path", "api_key", "status", "heard_ms", "spoken_ms", "text", "complete", "at")
        return {key: getattr(self, key) for key in keys} | {"gone": self.gone.is_set()}


class SpeechVendor:
    """Plays one fault a connection or request, in order, then `always`, then does as its settings say.

    Keys that begin with "bad" get a 401. `dead` breaks off all connections and takes no new ones.
    """

    path = ""  # how its path ends
    key_header = "authorization"

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.settings = SpeechSettings()
        self.calls: deque[SpeechCall] = deque(maxlen=20_000)
        self.always: SpeechFault | None = None
        self.arrived = asyncio.Condition()
        self._faults: list[SpeechFault] = []
        self._numbers = itertools.count(1)
        self._dead = False
        self._open: set[Exchange] = set()

    def script(self, *faults: SpeechFault) -> None:
        """Append faults, each for one connection or request."""
        self._faults.extend(faults)

    def set(self, **changes: Any) -> None:
        """Change settings; connections that are open keep theirs."""
        if "utterances" in changes:
            changes["utterances"] = tuple(changes["utterances"])
        self.settings = replace(self.settings, **changes)

    def reset(self) -> None:
        """Forget calls, faults and settings; live again."""
        self._faults, self.always, self._dead = [], None, False
        self.settings = SpeechSettings()
        self.calls.clear()

    def assert_complete(self) -> None:
        assert not self._faults, f"{self.name}: {len(self._faults)} faults were never met: {self._faults}"

    @property
    def dead(self) -> bool:
        return self._dead

    @dead.setter
    def dead(self, value: bool) -> None:
        self._dead = value
        if value:
            for exchange in list(self._open):
                exchange.reset()

    async def wait_for_calls(self, number: int) -> list[SpeechCall]:
        """Wait until `number` connections or requests have arrived, and return them all."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.calls) >= number)
        return list(self.calls)

    async def serve(self, exchange: Exchange, path: str) -> None:
        """Answer one request."""
        if self._dead:
            exchange.reset()
            return
        if exchange.method == "OPTIONS":  # somebody warms a connection
            exchange.send(200, {}, b"")
            return
        call = SpeechCall(
            id=f"{self.name}_{next(self._numbers)}",
            path=path,
            api_key=exchange.headers.get(self.key_header, "").rpartition(" ")[2],
            query=exchange.pairs,
            headers=exchange.headers,
            at=time.time(),
            gone=exchange.gone,
        )
        self.calls.append(call)
        async with self.arrived:
            self.arrived.notify_all()
        fault = self._faults.pop(0) if self._faults else self.always
        if call.api_key.startswith("bad") or not call.api_key:
            fault = SpeechFault(status=401, error="invalid_api_key", message="invalid api key")
        self._open.add(exchange)
        try:
            if self.settings.open_ms:
                await asyncio.sleep(self.settings.open_ms / 1000)
            if fault is not None and fault.kind == "status":
                self.refuse(exchange, call, fault)
            elif fault is not None and fault.kind == "html":
                page = b"<!doctype html><title>welcome</title>"
                exchange.send(200, {"content-type": "text/html"}, page)
            elif problem := self.problem(exchange, path):
                self.refuse(exchange, call, SpeechFault(status=400, message=problem))
            else:
                await self.play(exchange, call, fault)
        finally:
            self._open.discard(exchange)

    def refuse(self, exchange: Exchange, call: SpeechCall, fault: SpeechFault) -> None:
        call.status = fault.status
        headers = JSON | dict(fault.headers)
        exchange.send(fault.status, headers, orjson.dumps(self.error_body(fault)))

    def error_body(self, fault: SpeechFault) -> Any:
        return {"error": {"message": fault.message, "type": fault.error or "server_error"}}

    def problem(self, exchange: Exchange, path: str) -> str:
        """What is wrong with a request; empty when it is right."""
        return ""

    async def play(self, exchange: Exchange, call: SpeechCall, fault: SpeechFault | None) -> None:
        raise NotImplementedError
