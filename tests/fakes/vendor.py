"""One simulated vendor: takes requests in its wire format, plays its script, remembers its calls."""

import asyncio
import hashlib
import itertools
import time
from collections import deque

import orjson

from agents.providers.rehearsal import answer
from agents.providers.types import ModelRequest

from .vendor_faults import gone_within, play
from .vendor_http import Exchange
from .vendor_script import Fault, Reply, Step
from .vendor_wire import JSON, SSE, Ask, BadRequest, Call, Wire


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
            await play(exchange, wire, ask, step, headers, call)
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
                    if await gone_within(exchange, reply.per_chunk):
                        return
            else:
                exchange.chunk(b"".join(frames))
            exchange.end()
        else:
            exchange.send(200, headers | JSON, orjson.dumps(wire.whole(ask, reply)))
        call.complete = not exchange.gone.is_set()
        call.ended = time.time()
