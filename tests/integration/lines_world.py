"""A telephone line into a real voice server: signed webhooks, real sockets, and a call that echoes."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from channels.db import DatabaseSyncToAsync
from django.conf import settings
from django.test import Client
from websockets.asyncio.client import ClientConnection, connect

from networks.models import Network, Project
from networks.services import create_project
from voice import runtime, tokens
from voice.models import PhoneCall, PhoneNumber
from voice.pipeline.ports import CallSummary, Transport, TransportClosed
from voice.runtime import VoiceRuntime
from voice.serving import VoiceServer, make_config
from voice.slots import CallRecord

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
NUMBER = "+15005550006"


class EchoCall:
    """A call whose agent repeats what it hears, marks each piece, and ends when told to."""

    def __init__(self, record: CallRecord, transport: Transport, line: Any) -> None:
        self.record, self.transport, self.line = record, transport, line
        self.heard: list[bytes] = []
        self.marks: list[str] = []
        self.digits: list[str] = []
        self.reasons: list[str] = []
        self.over = asyncio.Event()
        self._todo: asyncio.Queue[bytes] = asyncio.Queue()

    def audio(self, payload: bytes, timestamp_ms: float | None) -> None:
        self.heard.append(payload)
        self._todo.put_nowait(payload)

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def digit(self, d: str) -> None:
        self.digits.append(d)

    def end(self, reason: str) -> None:
        self.reasons.append(reason)
        self.over.set()

    async def run(self) -> CallSummary:
        speaking = asyncio.create_task(self._speak())
        await self.over.wait()
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        await self.transport.aclose()
        return CallSummary(self.reasons[0], 1.0, 0, 0, 0, None)

    async def _speak(self) -> None:
        number = 0
        try:
            while True:
                await self.transport.send_audio(await self._todo.get())
                await self.transport.send_mark(f"m{number}")
                number += 1
        except TransportClosed:
            self.end("transport_lost")


class NoParts:
    """Nothing below the calls: they are scripted."""

    def refresh(self) -> None: ...

    async def aclose(self) -> None: ...


class Exchange:
    """A voice server of this test, and what it has built."""

    def __init__(self, name: str = "voice-t", capacity: int = 3) -> None:
        self.calls: list[EchoCall] = []
        self.name = name
        self.capacity = capacity
        self.port = 0

    async def build(self, parts: Any, record: CallRecord, transport: Transport, **more: Any) -> EchoCall:
        self.calls.append(EchoCall(record, transport, more["line"]))
        return self.calls[-1]

    async def _no_parts(self) -> Any:
        return NoParts()

    def make(self) -> VoiceRuntime:
        return VoiceRuntime(
            name=self.name,
            address="wss://voice.example.com",
            capacity=self.capacity,
            start=self._no_parts,
            build=self.build,
        )

    @property
    def runtime(self) -> VoiceRuntime:
        found = runtime.current()
        assert found is not None
        return found

    @asynccontextmanager
    async def serving(self, *, drain_seconds: float = 30.0) -> AsyncIterator["Exchange"]:
        """Listen on a port of its own until the block is left."""
        self.server = VoiceServer(
            make_config(host="127.0.0.1", port=0), make=self.make, drain_seconds=drain_seconds
        )
        self.serving_task = asyncio.create_task(self.server._serve())
        await eventually(lambda: self.server.started and runtime.current() is not None)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.server.should_exit = True
            await self.serving_task

    def here(self, public_url: str) -> str:
        """The address of this server in place of the public one."""
        return f"ws://127.0.0.1:{self.port}{urlsplit(public_url).path}"

    async def dial(
        self, public_url: str, *, compression: str | None = None, **headers: str
    ) -> ClientConnection:
        """Open a stream as Twilio does; raises `InvalidStatus` when it is refused."""
        signature = tokens.twilio_signature(AUTH_TOKEN, public_url)
        given = {"X-Twilio-Signature": signature} | headers
        return await connect(
            self.here(public_url),
            additional_headers={k: v for k, v in given.items() if v},
            compression=compression,
        )


def make_number(**fields: Any) -> PhoneNumber:
    """A number of a new project with a network."""
    project = create_project(name="Acme")
    network = Network.objects.create(project=project, name="Support")
    return PhoneNumber.objects.create(project=project, network=network, number=NUMBER, **fields)


def other_project() -> Project:
    return create_project(name="Stranger")


def webhook(path: str, *, signature: str | None = None, headers: Any = None, **form: Any) -> Any:
    """Post to a webhook as Twilio does; `signature` replaces the right one."""
    if signature is None:
        fields = {name: [value] for name, value in form.items()}
        signature = tokens.twilio_signature(AUTH_TOKEN, f"{settings.PUBLIC_BASE_URL}{path}", fields)
    given = {"X-Twilio-Signature": signature} if signature else {}
    return Client().post(path, form, headers=given | (headers or {}))


def ring(sid: str = "CA1", to: str = NUMBER, path: str = "/twilio/voice", **form: str) -> Any:
    """Somebody calls a number."""
    return webhook(path, CallSid=sid, To=to, From="+15005550001", CallStatus="ringing", **form)


def stream_url(answer: Any) -> str:
    """The stream that a TwiML answer connects to."""
    found = re.search(r'<Connect><Stream [^>]*url="([^"]+)"', answer.content.decode())
    assert found, answer.content
    return found[1]


async def in_thread(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run something that uses the database beside the event loop."""
    return await DatabaseSyncToAsync(work, thread_sensitive=False)(*args, **kwargs)


async def a_ring(*args: Any, **kwargs: Any) -> Any:
    return await in_thread(ring, *args, **kwargs)


async def a_webhook(*args: Any, **kwargs: Any) -> Any:
    return await in_thread(webhook, *args, **kwargs)


def start(sid: str = "CA1", stream: str = "MZ1") -> str:
    return json.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "start": {
                "accountSid": "AC1",
                "streamSid": stream,
                "callSid": sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {},
            },
            "streamSid": stream,
        }
    )


CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


def media(payload: bytes, number: int = 1) -> str:
    return json.dumps(
        {
            "event": "media",
            "sequenceNumber": str(number + 1),
            "media": {
                "track": "inbound",
                "chunk": str(number),
                "timestamp": str(20 * number),
                "payload": base64.b64encode(payload).decode(),
            },
            "streamSid": "MZ1",
        }
    )


async def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Return as soon as `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (a condition is no event)
            await asyncio.sleep(0.01)


async def until_true(question: Callable[[], Any], seconds: float = 10) -> None:
    """Return as soon as the database answers yes."""
    async with asyncio.timeout(seconds):
        while not await in_thread(question):  # noqa: ASYNC110 (the database does not call back)
            await asyncio.sleep(0.01)


async def ended(sid: str = "CA1", seconds: float = 10) -> PhoneCall:
    """The call's row, when it says that the call is over."""
    calls = PhoneCall.objects.filter(external_id=sid)
    await until_true(calls.filter(state=PhoneCall.State.ENDED).exists, seconds)
    row: PhoneCall = await in_thread(calls.get)
    return row
