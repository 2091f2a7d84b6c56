"""One simulated vendor: takes requests in its wire format, plays its script, remembers its calls."""

import asyncio
import hashlib
import itertools
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from agents.providers.rehearsal import answer
from agents.providers.types import ModelRequest

from .vendor_http import Exchange
from .vendor_script import Fault, Reply, Step

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
HALF = "half of a good answer, then a little more of it, and then the other half, which never comes, whatever happens"
HTML = b"<!doctype html><title>502</title><h1>Bad gateway</h1>"


class BadRequest(Exception):
    """What the real vendor would refuse: naive callers are caught here."""


@dataclass
class Ask:
    """A request as understood: enough to answer it."""

    request: ModelRequest
    stream: bool
    body: dict[str, Any]
    call_id: str = ""


class Wire(Protocol):
    """A vendor's wire format."""

    id_header: str

    def api_key(self, headers: dict[str, str]) -> str: ...
    def parse(self, path: str, body: dict[str, Any]) -> Ask: ...
    def whole(self, ask: Ask, reply: Reply) -> dict[str, Any]: ...
    def events(self, ask: Ask, reply: Reply) -> list[bytes]: ...
    def unfinished(self, whole: dict[str, Any]) -> dict[str, Any]:
        """Take the stop reason out of a whole reply."""
        ...

    def wrong_types(self, whole: dict[str, Any]) -> dict[str, Any]: ...
    def wrong_event(self) -> bytes: ...
    def error(self, status: int, error: str, message: str) -> Any: ...
    def error_event(self, error: str, message: str) -> bytes: ...


@dataclass
class Call:
    """One request that arrived. `complete` says that the whole reply left; `gone` that the client did."""

    id: str
    path: str
    api_key: str
    body: dict[str, Any]
    body_sha256: str
    headers: dict[str, str]
    at: float
    gone: asyncio.Event
    model: str = ""
    stream: bool = False
    status: int = 0
    complete: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def to_json(self) -> dict[str, Any]:
        keys = ("id", "path", "api_key", "model", "stream", "status", "complete", "body_sha256", "at")
        return {key: getattr(self, key) for key in keys}


class Vendor:
    """Plays steps in order, then `always`, then answers sensibly: rehearsal over the request's own text.

    Keys that begin with "bad" get a 401. `latency` is seconds to the first byte, for every good answer.
    """

    def __init__(self, name: str, url: str, wires: dict[str, Wire], latency: float = 0.0) -> None:
        self.name = name
        self.url = url
        self.latency = latency
        self.calls: deque[Call] = deque(maxlen=20_000)
        self.always: Step | None = None
        self.arrived = asyncio.Condition()
        self._wires = wires  # path ending → format
        self._steps: list[Step] = []
        self._numbers = itertools.count(1)

    def script(self, *steps: Step) -> None:
        """Append steps, each for one request."""
        self._steps.extend(steps)

    def reset(self) -> None:
        """Forget calls and script."""
        self._steps, self.always = [], None
        self.calls.clear()

    def assert_complete(self) -> None:
        assert not self._steps, f"{self.name}: {len(self._steps)} steps were never asked for: {self._steps}"

    async def wait_for_calls(self, number: int) -> list[Call]:
        """Wait until `number` requests have arrived, and return them all."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.calls) >= number)
        return list(self.calls)

    async def serve(self, exchange: Exchange, path: str) -> None:
        """Answer one request."""
        wire = next((wire for ending, wire in self._wires.items() if ending in path), None)
        if wire is None or exchange.method != "POST":
            exchange.send(404, JSON, b'{"error":{"message":"no such path","type":"not_found_error"}}')
            return
        call = await self._record(exchange, path, wire)
        step = self._next(exchange.body)
        headers = {wire.id_header: call.id}
        try:
            if call.api_key.startswith("bad"):
                raise PermissionError
            ask = wire.parse(path, call.body)
            ask.call_id = call.id
            call.model, call.stream = ask.request.model, ask.stream
        except PermissionError:
            step = Fault(status=401, message="invalid api key")
            ask = Ask(ModelRequest("", ()), False, {})
        except BadRequest as error:
            step = Fault(status=400, message=str(error))
            ask = Ask(ModelRequest("", ()), False, {})
        if isinstance(step, Fault):
            await self._fail(exchange, wire, ask, step, headers, call)
        else:
            await self._answer(exchange, wire, ask, step or Reply.of(answer(ask.request)), headers, call)
        call.answered.set()

    async def _record(self, exchange: Exchange, path: str, wire: Wire) -> Call:
        try:
            body = orjson.loads(exchange.body)
        except orjson.JSONDecodeError:
            body = {}
        call = Call(
            id=f"req_{self.name}_{next(self._numbers)}",
            path=path,
            api_key=wire.api_key(exchange.headers),
            body=body,
            body_sha256=hashlib.sha256(exchange.body).hexdigest(),
            headers=exchange.headers,
            at=time.time(),
            gone=exchange.gone,
        )
        self.calls.append(call)
        async with self.arrived:
            self.arrived.notify_all()
        return call

    def _next(self, body: bytes) -> Step | None:
        for index, step in enumerate(self._steps):
            if step.match.encode() in body:
                return self._steps.pop(index)
        return self.always

    async def _answer(
        self, exchange: Exchange, wire: Wire, ask: Ask, reply: Reply, headers: dict[str, str], call: Call
    ) -> None:
        delay = self.latency if reply.first_byte is None else reply.first_byte
        if delay:
            await asyncio.sleep(delay)  # cheaper than a wait that a departure would end
        if exchange.gone.is_set():
            return
        call.status = 200
        if ask.stream:
            exchange.begin(200, headers | SSE)
            frames = wire.events(ask, reply)
            if reply.per_chunk:
                for frame in frames:
                    exchange.chunk(frame)
                    if await _gone_within(exchange, reply.per_chunk):
                        return
            else:
                exchange.chunk(b"".join(frames))
            exchange.end()
        else:
            exchange.send(200, headers | JSON, orjson.dumps(wire.whole(ask, reply)))
        call.complete = not exchange.gone.is_set()

    async def _fail(
        self, exchange: Exchange, wire: Wire, ask: Ask, fault: Fault, headers: dict[str, str], call: Call
    ) -> None:
        if fault.first_byte and await _gone_within(exchange, fault.first_byte):
            return
        call.status = {"status": fault.status, "reset": 0, "silence": 0}.get(fault.kind, 200)
        good = Reply(text=HALF)
        whole = wire.whole(ask, good) if ask.body else {}
        events = wire.events(ask, good) if ask.body and ask.stream else []
        match fault.kind:
            case "status":
                self._status(exchange, wire, fault, headers, call)
            case "silence":
                await exchange.gone.wait()
            case "reset":
                exchange.reset()
            case "html":
                exchange.send(200, headers | {"content-type": "text/html"}, HTML)
            case "cut_json" if ask.stream:
                self._stream(
                    exchange, headers, [*events[:1], b'event: message_start\ndata: {"type": "mess\n\n']
                )
                exchange.end()
            case "cut_json":
                body = orjson.dumps(whole)
                exchange.send(200, headers | JSON, body[: len(body) // 2])
            case "empty_object" | "null" | "empty" | "array":
                bodies = {"empty_object": b"{}", "null": b"null", "empty": b"", "array": b"[]"}
                exchange.send(200, headers | JSON, bodies[fault.kind])
            case "wrong_types" if ask.stream:
                self._stream(exchange, headers, [*events[:1], wire.wrong_event()])
                exchange.end()
            case "wrong_types":
                exchange.send(200, headers | JSON, orjson.dumps(wire.wrong_types(whole)))
            case "error_event" if not ask.stream:
                self._status(exchange, wire, fault, headers, call)
            case "cut_stream" if not ask.stream:
                exchange.send(200, headers | JSON, orjson.dumps(wire.unfinished(whole)))
            case "broken_stream" | "reset_in_stream" | "silence_in_stream" if not ask.stream:
                body = orjson.dumps(whole)
                exchange.send(200, headers | JSON, body[: len(body) // 2], announced=len(body))
                await self._leave(exchange, fault)
            case "drip":
                await self._drip(exchange, headers, ask, b"".join(events) or orjson.dumps(whole), fault)
            case _:
                self._stream(exchange, headers, _before_end(events))
                if fault.kind == "error_event":
                    exchange.chunk(wire.error_event(fault.error, fault.message))
                if fault.kind in ("error_event", "cut_stream"):
                    exchange.end()
                else:
                    await self._leave(exchange, fault)

    async def _leave(self, exchange: Exchange, fault: Fault) -> None:
        if fault.kind == "silence_in_stream":
            await exchange.gone.wait()
        elif fault.kind == "reset_in_stream":
            await asyncio.sleep(0.02)  # a reset overtakes data that was not read yet
            exchange.reset()
        else:
            exchange.close()

    def _status(
        self, exchange: Exchange, wire: Wire, fault: Fault, headers: dict[str, str], call: Call
    ) -> None:
        call.status = fault.status
        body = wire.error(fault.status, fault.error, fault.message) if fault.body is None else fault.body
        data = body.encode() if isinstance(body, str) else orjson.dumps(body)
        exchange.send(fault.status, headers | JSON | dict(fault.headers), data)
        call.complete = not exchange.gone.is_set()

    def _stream(self, exchange: Exchange, headers: dict[str, str], frames: Iterable[bytes]) -> None:
        exchange.begin(200, headers | SSE)
        for frame in frames:
            exchange.chunk(frame)

    async def _drip(
        self, exchange: Exchange, headers: dict[str, str], ask: Ask, data: bytes, fault: Fault
    ) -> None:
        exchange.begin(200, headers | (SSE if ask.stream else JSON))
        for start in range(len(data)):
            exchange.chunk(data[start : start + 1])
            if await _gone_within(exchange, fault.interval):
                return
        exchange.end()


def _before_end(events: list[bytes]) -> list[bytes]:
    """Return the events up to the middle: some text, and no sign of the end."""
    return events[: max(1, len(events) // 2)]


async def _gone_within(exchange: Exchange, seconds: float) -> bool:
    try:
        await asyncio.wait_for(exchange.gone.wait(), seconds)
    except TimeoutError:
        return False
    return True
