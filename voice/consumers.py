"""Streams of callers: Twilio's and browsers'. Who may not come in is refused before the socket is accepted.

Channels routes to these and nothing more: its consumers wait on a thread before every message and make tasks
per message, which costs a call more than its audio does. Frames go to the call as they are read, by
`voice.call_socket` where a voice process serves; elsewhere one coroutine fetches them. Nothing it calls waits.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from channels.consumer import AsyncConsumer
from django.conf import settings
from django.http.request import validate_host
from structlog.contextvars import bound_contextvars

from voice import addresses, metrics, runtime, sessions, slots, tokens
from voice.call_socket import EXTENSION, CallSocket
from voice.config_parsing import ConfigInvalid
from voice.models import VoiceSession
from voice.outbound import TwilioLine
from voice.pipeline.ports import Transport, TransportClosed
from voice.runtime import RunningCall, VoiceRuntime
from voice.transports import twilio, web
from voice.watching import WatchedLog

log = structlog.get_logger(__name__)

START_SECONDS: Final = 5.0  # in which a stream must say which call it is
SILENT_SECONDS: Final = 10.0  # a stream that sends nothing at all is dead: silence is audio, too
END_SECONDS: Final = 5.0  # that a call may take to write its end

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Refused(Exception):
    """The stream is not let in; the message is for the log and never for the other side."""


class StreamConsumer(AsyncConsumer):
    """What both kinds of streams have in common: from the handshake to the teardown."""

    channel_layer_alias = ""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self._socket: CallSocket | None = scope.get("extensions", {}).pop(EXTENSION, None)
        self._gone = False
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            self.runtime = await self._runtime()
            record = await self.admit(scope["url_route"]["kwargs"])
        except Refused as refusal:
            metrics.refused("stream")
            log.warning("a stream is refused", why=str(refusal), kind=type(self).__name__)
            await send({"type": "websocket.close"})  # before accept: HTTP 403
            return
        except Exception as error:
            metrics.refused("unavailable")
            log.exception("a stream is refused: calls cannot be taken now", error=str(error)[:200])
            await send({"type": "websocket.close"})
            return
        with bound_contextvars(call_id=record.id, request_id=record.request_id or None):
            await self._take(record)

    async def admit(self, path: Mapping[str, str]) -> slots.CallRecord:
        """Check everything there is to check and take the slot. Raises `Refused`."""
        raise NotImplementedError

    async def begin(self, record: slots.CallRecord) -> Transport:
        """Read the stream's first messages. Raises `BadStart`."""
        raise NotImplementedError

    def build(self, record: slots.CallRecord, transport: Any) -> Awaitable[RunningCall]:
        """Put the call together."""
        return self.runtime.build(record, transport)

    def frame(self, message: str | bytes, call: Any) -> None:
        """Hand one message to the call."""
        raise NotImplementedError

    async def farewell(self) -> None:
        """Say the last thing on a socket that may be gone."""

    async def _runtime(self) -> VoiceRuntime:
        found = runtime.current()
        if found is None and settings.MESH_VOICE == "inline":
            found = await runtime.obtain()
        if found is None:
            raise Refused("this process takes no calls")
        return found

    async def _take(self, record: slots.CallRecord) -> None:
        """Run an admitted call."""
        try:
            await self._send({"type": "websocket.accept"})
            async with asyncio.timeout(START_SECONDS):
                transport = await self.begin(record)
            call = await self.build(record, transport)
        except (twilio.BadStart, web.BadStart, TimeoutError) as error:
            metrics.refused("start")
            await self._give_up(record, "bad_start", str(error) or "the stream did not start in time")
            return
        except ConfigInvalid as error:
            await self._give_up(record, "failed", str(error))
            return
        except Exception as error:
            log.exception("a call could not be put together")
            await self._give_up(record, "failed", f"{type(error).__name__}: {error}")
            return
        running = asyncio.ensure_future(self.runtime.run(record.id, call))
        reading = asyncio.ensure_future(self._read(call))
        try:
            await asyncio.wait({running, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not reading.cancelled() and (failure := reading.exception()):
                log.error("a stream cannot be read any more", exc_info=failure)
            call.end("transport_lost")  # unless it has ended by itself
            async with asyncio.timeout(END_SECONDS):
                await running
            await self.farewell()
        except TimeoutError:
            log.error("a call did not end in time and is cancelled")
        finally:
            call.end("transport_lost")
            for job in (running, reading):
                job.cancel()
            await asyncio.gather(running, reading, return_exceptions=True)
            await self._close()

    async def _read(self, call: RunningCall) -> None:
        """Hand every frame to the call until the socket is gone. Nothing here waits but for the next frame."""
        watchdog = _Watchdog(call)

        def take(message: str | bytes) -> None:
            watchdog.fed = True
            try:
                self.frame(message, call)
            except Exception:
                log.exception("a frame broke the call")
                call.end("transport_lost")

        try:
            if self._socket is not None:
                self._socket.attach(take)
            while (message := await self._receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                take(message["bytes"] if text is None else text)
            self._gone = True
            call.end("caller_hung_up")
        finally:
            watchdog.stop()

    async def _give_up(self, record: slots.CallRecord, reason: str, error: str) -> None:
        log.warning("a stream is closed before its call began", reason=reason, error=error[:300])
        self.runtime.free(record.id, reason, error)
        await self._close(code=1008)

    async def _close(self, code: int = 1000) -> None:
        """Close the socket. Idempotent, and no error of a socket that is gone gets out."""
        if self._gone:
            return
        self._gone = True
        try:
            async with asyncio.timeout(1):
                await self._send({"type": "websocket.close", "code": code})
        except (OSError, RuntimeError, TimeoutError, TransportClosed):
            pass

    def _send_now(self, message: str | bytes) -> bool:
        return self._socket is not None and self._socket.send_now(message)

    async def _text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def _bytes(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": data})

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._gone = True
            raise twilio.BadStart("the stream was closed before it began")
        return message

    def _header(self, name: bytes) -> str:
        found = [value for key, value in self.scope["headers"] if key == name]
        return found[0].decode("latin-1") if len(found) == 1 else ""


class TwilioConsumer(StreamConsumer):
    """A caller on a telephone. Its token names a call, this process and a nonce that is good for one stream."""

    _transport: twilio.TwilioTransport

    async def admit(self, path: Mapping[str, str]) -> slots.CallRecord:
        worker, token = path["worker"], path["token"]
        url = addresses.stream_url(self.runtime.address, worker, token)
        signature = self._header(b"x-twilio-signature")
        if not tokens.signed_by_twilio(settings.TWILIO["auth_token"], signature, url):
            raise Refused("the signature is missing or wrong")
        ticket = _ticket("call", token)
        if not ticket.worker == worker == self.runtime.name:
            raise Refused("the token is for another process")
        record = await self.runtime.in_thread(
            slots.open_stream,
            transport="twilio",
            external_id=ticket.subject,
            worker=worker,
            nonce=ticket.nonce,
        )
        if record is None:
            raise Refused("the token was used before, or its slot was given up")
        return record

    async def begin(self, record: slots.CallRecord) -> Transport:
        start = None
        while start is None:
            start = twilio.read_start((await self._next()).get("text"))
        if start.call_sid != record.external_id:
            raise twilio.BadStart("the stream belongs to another call than its token")
        self._transport = twilio.TwilioTransport(start.stream_sid, self._text, self._close, self._send_now)
        return self._transport

    def build(self, record: slots.CallRecord, transport: Any) -> Awaitable[RunningCall]:
        return self.runtime.build(record, transport, line=TwilioLine(record, self.runtime.in_thread))

    def frame(self, message: str | bytes, call: Any) -> None:
        if isinstance(message, str):
            self._transport.receive(message, call)
        else:
            self._transport.receive_binary()


class BrowserConsumer(StreamConsumer):
    """A caller at a web page. Its token names a voice session, lasts as long as that, and opens one call at
    a time."""

    _transport: web.WebTransport
    _telling: "asyncio.Task[None] | None" = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._telling is not None:
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)

    async def admit(self, path: Mapping[str, str]) -> slots.CallRecord:
        if not _from_our_pages(self._header(b"origin")):
            raise Refused("the page is none of ours")
        ticket = _ticket("browser", path["token"])
        try:
            return await self.runtime.in_thread(let_in_browser, ticket.subject, self.runtime.name)
        except slots.Refused as error:
            raise Refused(f"there is no slot: {error}") from None

    async def begin(self, record: slots.CallRecord) -> Transport:
        format = web.read_start((await self._next()).get("text"))
        self._transport = web.WebTransport(
            format, self._text, self._bytes, _stay_open, send_now=self._send_now
        )
        self._transport.show("ready", call_id=record.id, sample_rate=format.rate)
        self._telling = asyncio.ensure_future(self._transport.tell_news())
        return self._transport

    def build(self, record: slots.CallRecord, transport: Any) -> Awaitable[RunningCall]:
        return self.runtime.build(record, transport, watch=partial(WatchedLog, show=transport.show))

    def frame(self, message: str | bytes, call: Any) -> None:
        if isinstance(message, str):
            self._transport.receive(message, call)
        else:
            self._transport.receive_binary(message, call)

    async def farewell(self) -> None:
        if not self._gone:
            with suppress(TransportClosed):
                await self._transport.tell_rest()


async def _stay_open() -> None:
    """A page's socket is closed when everything has been told, which is after its call has closed the audio."""


class _Watchdog:
    """Ends a call whose stream has sent nothing for some seconds: its other side is dead."""

    def __init__(self, call: RunningCall) -> None:
        self.fed = True
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(SILENT_SECONDS, self._look)

    def stop(self) -> None:
        self._next.cancel()

    def _look(self) -> None:
        if not self.fed:
            self._call.end("transport_lost")
            return
        self.fed = False
        self._next = self._loop.call_later(SILENT_SECONDS, self._look)


async def refuse(scope: Any, receive: Receive, send: Send) -> None:
    """The WebSocket of an address that is not there."""
    await receive()
    await send({"type": "websocket.close"})


def let_in_browser(session_id: str, worker: str) -> slots.CallRecord:
    """Take a slot for a call of a session, on this process and now. Raises `slots.Refused`."""
    session = VoiceSession.objects.filter(sessions.live(), pk=session_id).first()
    if session is None:
        raise slots.Refused("over")
    incoming = slots.Incoming(
        project_id=session.project_id,
        network_id=session.network_id,
        transport="web",
        external_id=tokens.new_nonce(),
        session_id=session.pk,
        config=session.config,
        alone=True,
    )
    reserved = slots.reserve(incoming, worker=worker)
    record = slots.open_stream(
        transport="web", external_id=incoming.external_id, worker=worker, nonce=reserved.nonce
    )
    if record is None:
        raise slots.Refused("over")
    return record


def _ticket(purpose: tokens.Purpose, token: str) -> tokens.Ticket:
    try:
        return tokens.read(addresses.token_key(), purpose, token, now=time.time())
    except tokens.TokenRefused as error:
        raise Refused(f"the token is {error}") from None


def _from_our_pages(origin: str) -> bool:
    """Whether a page may open a stream. Programs send no origin; they have a token like everybody else."""
    if not origin:
        return True
    trusted = origin in (settings.PUBLIC_BASE_URL, *settings.CSRF_TRUSTED_ORIGINS)
    return trusted or validate_host(urlsplit(origin).hostname or "", settings.ALLOWED_HOSTS)
