"""OpenAI's realtime transcription and its speech endpoint, from the outside."""

import asyncio
import base64
from typing import Any

import orjson

from .hearing import Hearing
from .speech_audio import Sound
from .speech_vendor import SpeechCall, SpeechFault, SpeechSettings, SpeechVendor
from .spoken_http import send_audio
from .vendor_http import Exchange
from .vendor_sockets import Socket

_TRANSCRIPT = "conversation.item.input_audio_transcription."


class OpenAITranscriber(SpeechVendor):
    path = "/realtime"

    def problem(self, exchange: Exchange, path: str) -> str:
        if not exchange.wants_socket or exchange.query.get("intent") != "transcription":
            return "a WebSocket with intent=transcription is expected"
        return ""

    async def play(self, exchange: Exchange, call: SpeechCall, fault: SpeechFault | None) -> None:
        call.status = 101
        session = _Session(Socket(exchange), call, fault, self.settings)
        await exchange.gone.wait()
        session.stop()


class _Session:
    def __init__(
        self, socket: Socket, call: SpeechCall, fault: SpeechFault | None, settings: SpeechSettings
    ) -> None:
        self.socket = socket
        self.call = call
        self.fault = fault
        self.settings = settings
        self.hearing: Hearing | None = None
        self.item = 1
        self.told = ""
        self.struck = False
        self.committed_ms = 0.0
        self.timers: set[asyncio.TimerHandle] = set()
        socket.on_message = self.heard
        self.tell("session.created", session={"type": "transcription", "id": call.id})
        self.strike(0.0)

    def stop(self) -> None:
        for timer in self.timers:
            timer.cancel()

    def tell(self, kind: str, **fields: Any) -> None:
        if not (self.struck and self.fault is not None and self.fault.kind == "silence"):
            self.socket.send_json({"type": kind, "event_id": f"event_{id(fields)}", **fields})

    def heard(self, message: str | bytes) -> None:
        order = orjson.loads(message)
        kind = order["type"]
        if kind == "input_audio_buffer.append":
            self.audio(base64.b64decode(order["audio"], validate=True))
            return
        self.call.messages.append(order)
        if kind == "session.update":
            self.configure(order["session"])
        elif kind == "input_audio_buffer.commit":
            self.commit()
        else:
            self.refuse("unknown_event", f"no event {kind}")

    def configure(self, session: dict[str, Any]) -> None:
        given = session["audio"]["input"]
        if session["type"] != "transcription" or given["format"] not in (
            {"type": "audio/pcmu"},
            {"type": "audio/pcm", "rate": 24_000},
        ):
            self.refuse("invalid_value", "no such format")
            return
        mulaw = given["format"]["type"] == "audio/pcmu"
        encoding, rate = ("mulaw", 8000) if mulaw else ("pcm16", 24_000)
        self.hearing = Hearing(encoding, rate, self.settings.utterances, self.settings.word_ms)
        self.tell("session.updated", session=session)

    def audio(self, audio: bytes) -> None:
        assert self.hearing is not None, "audio before the session was set up"
        more = self.hearing.feed(audio)
        self.call.heard_ms = self.hearing.at_ms
        if self.strike(self.hearing.speech_ms):
            return
        text = self.hearing.text
        if more and self.settings.partials and text.startswith(self.told):
            delta, self.told = text[len(self.told) :], text
            self.tell(_TRANSCRIPT + "delta", item_id=f"item_{self.item}", content_index=0, delta=delta)

    def commit(self) -> None:
        assert self.hearing is not None
        if self.hearing.at_ms - self.committed_ms < 100:
            self.refuse("input_audio_buffer_commit_empty", "the buffer is too small")
            return
        self.committed_ms = self.hearing.at_ms
        text, _, _ = self.hearing.settle()
        item, self.item, self.told = f"item_{self.item}", self.item + 1, ""
        self.tell("input_audio_buffer.committed", item_id=item, previous_item_id=None)

        def complete() -> None:
            self.timers.discard(timer)
            self.call.text = f"{self.call.text} {text}".strip()
            self.tell(_TRANSCRIPT + "completed", item_id=item, content_index=0, transcript=text, usage={})

        timer = asyncio.get_running_loop().call_later(self.settings.tail_ms / 1000, complete)
        self.timers.add(timer)

    def refuse(self, code: str, message: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        self.tell("error", error=error)

    def strike(self, speech_ms: float) -> bool:
        fault = self.fault
        if fault is None or speech_ms < fault.after_ms:
            return False
        self.struck = True
        match fault.kind:
            case "cut":
                self.socket.drop()
            case "close":
                self.socket.close(1011, fault.message)
            case "garbage":
                self.socket.send('{"type":')
            case "error_frame":
                error = {"type": "server_error", "code": fault.error or None, "message": fault.message}
                self.tell("error", error=error)
        return fault.kind != "drip"


class OpenAISpeech(SpeechVendor):
    path = "/audio/speech"

    def problem(self, exchange: Exchange, path: str) -> str:
        try:
            body = orjson.loads(exchange.body)
        except orjson.JSONDecodeError:
            return "no JSON"
        if not all(isinstance(body.get(name), str) and body[name] for name in ("model", "voice", "input")):
            return "model, voice and input are needed"
        return "" if body.get("response_format") == "pcm" else "only pcm is simulated"

    async def play(self, exchange: Exchange, call: SpeechCall, fault: SpeechFault | None) -> None:
        body = orjson.loads(exchange.body)
        call.messages.append(body)
        call.text = body["input"]
        await send_audio(exchange, call, Sound.of(call.text, "pcm16", 24_000), fault, self.settings)
