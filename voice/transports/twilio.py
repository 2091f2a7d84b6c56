"""Twilio Media Streams: the messages of both directions. Pure; `voice.consumers` moves them.

Text frames only, and every number in an envelope is a string. An echo of a mark says that the audio before it
was played *or cleared*.
"""

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from voice.audio import TELEPHONE, AudioFormat

from .base import CallInput, Close, SendNow, SendText, SocketTransport

_ENCODING: Final = "audio/x-mulaw"


class BadStart(Exception):
    """The stream began in a way that no call may come of; the message says why."""


@dataclass(frozen=True, slots=True)
class Start:
    """Which call a stream belongs to."""

    call_sid: str
    stream_sid: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_start(text: str | None) -> Start | None:
    """Read one of a stream's first messages: None for those before `start`. Raises `BadStart`."""
    message = _parse(text)
    event = message.get("event")
    if event == "connected":
        return None
    if event != "start":
        raise BadStart(f"the stream began with {event!r}")
    start = message.get("start")
    if not isinstance(start, dict):
        raise BadStart("`start` is empty")
    media = start.get("mediaFormat") or {}
    if media.get("encoding") != _ENCODING or str(media.get("sampleRate")) != "8000":
        raise BadStart(f"the audio is {media!r}")
    call_sid, stream_sid = start.get("callSid"), start.get("streamSid")
    if not isinstance(call_sid, str) or not isinstance(stream_sid, str) or not stream_sid:
        raise BadStart("the call or the stream has no name")
    return Start(call_sid, stream_sid, start.get("customParameters") or {})


class TwilioTransport(SocketTransport):
    """One stream. `receive` is called with each text frame, in order; it neither waits nor raises.

    When the socket is closed Twilio goes on with the TwiML after `<Connect>`, which is nothing.
    """

    name = "twilio"
    sender = "a stream"
    format: AudioFormat = TELEPHONE

    def __init__(
        self, stream_sid: str, send: SendText, close: Close, send_now: SendNow | None = None
    ) -> None:
        super().__init__(send, close, send_now)
        sid = orjson.dumps(stream_sid).decode()
        # Envelopes are put together as text: base64 needs no escaping, and this is done 50 times a second.
        self._media = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        self._mark = f'{{"event":"mark","streamSid":{sid},"mark":{{"name":'
        self._clear = f'{{"event":"clear","streamSid":{sid}}}'

    def receive(self, text: str, call: CallInput) -> None:
        """Tell the call what a frame says."""
        try:
            message = orjson.loads(text)
            event = message["event"]
            if event == "media":
                media = message["media"]
                if media.get("track", "inbound") == "inbound":
                    call.audio(binascii.a2b_base64(media["payload"]), float(media["timestamp"]))
            elif event == "mark":
                call.mark(message["mark"]["name"])
            elif event == "dtmf":
                call.digit(message["dtmf"]["digit"])
            elif event == "stop":
                call.end("caller_hung_up")
            else:
                self._ignore(str(event)[:30])
        except (ValueError, KeyError, TypeError, AttributeError):
            self._ignore("unreadable")

    def receive_binary(self) -> None:
        """Twilio sends none; one is no reason to lose a call."""
        self._ignore("binary")

    async def send_audio(self, audio: bytes) -> None:
        payload = binascii.b2a_base64(audio, newline=False).decode()
        await self._put(f'{self._media}{payload}"}}}}')

    async def send_mark(self, name: str) -> None:
        await self._put(f"{self._mark}{orjson.dumps(name).decode()}}}}}")

    async def clear(self) -> None:
        await self._put(self._clear)


def _parse(text: str | None) -> dict[str, Any]:
    try:
        message = orjson.loads(text or "")
    except ValueError:
        raise BadStart("the stream began with something that is not JSON") from None
    if not isinstance(message, dict):
        raise BadStart("the stream began with something that is no object")
    return message
