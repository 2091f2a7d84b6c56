"""Deepgram's live transcription, from the outside: `/v1/listen`."""

import asyncio
from typing import Any

import orjson

from .hearing import Hearing
from .speech_vendor import SpeechCall, SpeechFault, SpeechSettings, SpeechVendor
from .vendor_http import Exchange
from .vendor_sockets import Socket


class Deepgram(SpeechVendor):
    path = "/v1/listen"

    def problem(self, exchange: Exchange, path: str) -> str:
        query = exchange.query
        if not exchange.wants_socket:
            return "a WebSocket is expected"
        if query.get("encoding") not in ("mulaw", "linear16") or not query.get("sample_rate", "").isdigit():
            return "raw audio needs encoding and sample_rate"
        if "keyterm" in query and not query.get("model", "").startswith("nova-3"):
            return "keyterm needs nova-3"
        return ""

    def error_body(self, fault: SpeechFault) -> Any:
        return {"err_code": fault.error or "ERROR", "err_msg": fault.message, "request_id": "none"}

    async def play(self, exchange: Exchange, call: SpeechCall, fault: SpeechFault | None) -> None:
        call.status = 101
        listener = _Listener(Socket(exchange), exchange.query, call, fault, self.settings)
        await exchange.gone.wait()
        listener.stop()


class _Listener:
    def __init__(
        self,
        socket: Socket,
        query: dict[str, str],
        call: SpeechCall,
        fault: SpeechFault | None,
        settings: SpeechSettings,
    ) -> None:
        self.socket = socket
        self.call = call
        self.fault = fault
        self.settings = settings
        self.hearing = Hearing(
            query["encoding"], int(query["sample_rate"]), settings.utterances, settings.word_ms
        )
        self.interim = query.get("interim_results") == "true" and settings.partials
        endpointing = query.get("endpointing", "10")
        self.endpointing_ms = float(endpointing) if endpointing.isdigit() else float("inf")
        self.loop = asyncio.get_running_loop()
        self.last = self.loop.time()
        self.timers: set[asyncio.TimerHandle] = set()
        self.struck = False
        self.watch = self.loop.call_later(settings.idle_seconds, self.idle)
        socket.on_message = self.heard
        self.strike()

    def stop(self) -> None:
        self.watch.cancel()
        for timer in self.timers:
            timer.cancel()

    def heard(self, message: str | bytes) -> None:
        self.last = self.loop.time()
        if isinstance(message, bytes):
            self.audio(message)
            return
        order = orjson.loads(message)
        self.call.messages.append(order)
        match order["type"]:
            case "Finalize":
                text, start, length = self.hearing.settle()
                if text or self.settings.answers_empty:
                    self.after(self.settings.tail_ms, text, start, length, from_finalize=True)
            case "CloseStream":
                self.metadata()
                self.call.complete = True
                self.socket.close(1000)

    def audio(self, audio: bytes) -> None:
        hearing = self.hearing
        more = hearing.feed(audio)
        self.call.heard_ms = hearing.at_ms
        if self.fault is not None and self.strike():
            return
        if more and self.interim:
            self.result(hearing.text, hearing.settled_ms, hearing.at_ms - hearing.settled_ms, is_final=False)
        elif hearing.text and hearing.silence_ms >= self.endpointing_ms:
            text, start, length = hearing.settle()
            self.after(self.settings.tail_ms, text, start, length, speech_final=True)

    def after(self, milliseconds: float, text: str, start: float, length: float, **flags: bool) -> None:
        if not milliseconds:
            self.result(text, start, length, is_final=True, **flags)
            return

        def tell() -> None:
            self.timers.discard(timer)
            self.result(text, start, length, is_final=True, **flags)

        timer = self.loop.call_later(milliseconds / 1000, tell)
        self.timers.add(timer)

    def result(
        self,
        text: str,
        start: float,
        length: float,
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> None:
        if self.struck and self.fault is not None and self.fault.kind == "silence":
            return
        if is_final:
            self.call.text = f"{self.call.text} {text}".strip()
        best = {"transcript": text, "confidence": 0.98 if text else 0.0, "words": []}
        self.socket.send_json(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "duration": length / 1000,
                "start": start / 1000,
                "is_final": is_final,
                "speech_final": speech_final,
                "channel": {"alternatives": [best]},
                "metadata": {"request_id": self.call.id, "model_info": {"name": "fake"}},
                "from_finalize": from_finalize,
            }
        )

    def metadata(self) -> None:
        seconds = self.hearing.at_ms / 1000
        self.socket.send_json(
            {"type": "Metadata", "request_id": self.call.id, "duration": seconds, "channels": 1}
        )

    def strike(self) -> bool:
        """Fail, when it is time to; True when nothing more is to be done."""
        fault = self.fault
        if fault is None or self.hearing.speech_ms < fault.after_ms:
            return False
        self.struck = True
        match fault.kind:
            case "cut":
                self.socket.drop()
            case "close":
                self.socket.close(1011, fault.message or "NET-0000")
            case "garbage":
                self.socket.send('{"type":"Results","channel":')
            case "error_frame":
                self.socket.send_json(
                    {"type": "Error", "variant": fault.error or "INTERNAL", "description": fault.message}
                )
            case "silence":
                self.hearing.settle()
                return True
        return fault.kind != "drip"

    def idle(self) -> None:
        quiet = self.loop.time() - self.last
        if quiet >= self.settings.idle_seconds:
            self.socket.close(1011, "NET-0001")
        else:
            self.watch = self.loop.call_later(self.settings.idle_seconds - quiet, self.idle)
