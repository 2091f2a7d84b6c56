"""How a simulated vendor fails, byte by byte."""

import asyncio
from collections.abc import Iterable

import orjson

from .vendor_http import Exchange
from .vendor_script import Fault, Reply
from .vendor_wire import JSON, SSE, Ask, Call, Wire

HALF = "half of a good answer, then a little more of it, and then the other half, which never comes, whatever happens"
HTML = b"<!doctype html><title>502</title><h1>Bad gateway</h1>"


async def play(
    exchange: Exchange, wire: Wire, ask: Ask, fault: Fault, headers: dict[str, str], call: Call
) -> None:
    if fault.first_byte and await gone_within(exchange, fault.first_byte):
        return
    call.status = {"status": fault.status, "reset": 0, "silence": 0}.get(fault.kind, 200)
    good = Reply(text=HALF)
    whole = wire.whole(ask, good) if ask.body else {}
    events = wire.events(ask, good) if ask.body and ask.stream else []
    match fault.kind:
        case "status":
            _status(exchange, wire, fault, headers, call)
        case "silence":
            await exchange.gone.wait()
        case "reset":
            exchange.reset()
        case "html":
            exchange.send(200, headers | {"content-type": "text/html"}, HTML)
        case "cut_json" if ask.stream:
            _stream(exchange, headers, [*events[:1], b'event: message_start\ndata: {"type": "mess\n\n'])
            exchange.end()
        case "cut_json":
            body = orjson.dumps(whole)
            exchange.send(200, headers | JSON, body[: len(body) // 2])
        case "empty_object" | "null" | "empty" | "array":
            bodies = {"empty_object": b"{}", "null": b"null", "empty": b"", "array": b"[]"}
            exchange.send(200, headers | JSON, bodies[fault.kind])
        case "wrong_types" if ask.stream:
            _stream(exchange, headers, [*events[:1], wire.wrong_event()])
            exchange.end()
        case "wrong_types":
            exchange.send(200, headers | JSON, orjson.dumps(wire.wrong_types(whole)))
        case "error_event" if not ask.stream:
            _status(exchange, wire, fault, headers, call)
        case "cut_stream" if not ask.stream:
            exchange.send(200, headers | JSON, orjson.dumps(wire.unfinished(whole)))
        case "broken_stream" | "reset_in_stream" | "silence_in_stream" if not ask.stream:
            body = orjson.dumps(whole)
            exchange.send(200, headers | JSON, body[: len(body) // 2], announced=len(body))
            await _leave(exchange, fault)
        case "drip":
            await _drip(exchange, headers, ask, b"".join(events) or orjson.dumps(whole), fault)
        case _:
            _stream(exchange, headers, _before_end(events))
            if fault.kind == "error_event":
                exchange.chunk(wire.error_event(fault.error, fault.message))
            if fault.kind in ("error_event", "cut_stream"):
                exchange.end()
            else:
                await _leave(exchange, fault)


async def _leave(exchange: Exchange, fault: Fault) -> None:
    if fault.kind == "silence_in_stream":
        await exchange.gone.wait()
    elif fault.kind == "reset_in_stream":
        await asyncio.sleep(0.02)  # a reset overtakes data that was not read yet
        exchange.reset()
    else:
        exchange.close()


def _status(exchange: Exchange, wire: Wire, fault: Fault, headers: dict[str, str], call: Call) -> None:
    call.status = fault.status
    body = wire.error(fault.status, fault.error, fault.message) if fault.body is None else fault.body
    data = body.encode() if isinstance(body, str) else orjson.dumps(body)
    exchange.send(fault.status, headers | JSON | dict(fault.headers), data)
    call.complete = not exchange.gone.is_set()


def _stream(exchange: Exchange, headers: dict[str, str], frames: Iterable[bytes]) -> None:
    exchange.begin(200, headers | SSE)
    for frame in frames:
        exchange.chunk(frame)


async def _drip(exchange: Exchange, headers: dict[str, str], ask: Ask, data: bytes, fault: Fault) -> None:
    exchange.begin(200, headers | (SSE if ask.stream else JSON))
    for start in range(len(data)):
        exchange.chunk(data[start : start + 1])
        if await gone_within(exchange, fault.interval):
            return
    exchange.end()


def _before_end(events: list[bytes]) -> list[bytes]:
    """Return the events up to the middle: some text, and no sign of the end."""
    return events[: max(1, len(events) // 2)]


async def gone_within(exchange: Exchange, seconds: float) -> bool:
    try:
        await asyncio.wait_for(exchange.gone.wait(), seconds)
    except TimeoutError:
        return False
    return True
