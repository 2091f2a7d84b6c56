"""ElevenLabs' input-streaming text-to-speech, from the outside: `/v1/text-to-speech/{voice}/stream-input`."""

import asyncio
import base64
from functools import lru_cache
from typing import Any

import orjson

from .speech_audio import Sound
from .speech_vendor import SpeechCall, SpeechFault, SpeechSettings, SpeechVendor
from .vendor_http import Exchange
from .vendor_sockets import Socket


class ElevenLabs(SpeechVendor):
    path = "/stream-input"
    key_header = "xi-api-key"

    def problem(self, exchange: Exchange, path: str) -> str:
        if not exchange.wants_socket:
            return "a WebSocket is expected"
        return "" if _format(exchange.query.get("output_format", "")) else "no such output_format"

    def error_body(self, fault: SpeechFault) -> Any:
        return {"detail": {"status": fault.error or "error", "message": fault.message}}

    async def play(self, exchange: Exchange, call: SpeechCall, fault: SpeechFault | None) -> None:
        call.status = 101
        found = _format(exchange.query["output_format"])
        assert found is not None
        speaking = _Speaking(Socket(exchange), call, fault, self.settings, *found)
        idle = float(exchange.query.get("inactivity_timeout", 20))
        await speaking.run(idle, aligned=exchange.query.get("sync_alignment") == "true")


def _format(code: str) -> tuple[str, int] | None:
    encoding, _, rate = code.partition("_")
    if code == "ulaw_8000":
        return "mulaw", 8000
    known = encoding == "pcm" and rate in ("8000", "16000", "22050", "24000", "32000", "44100", "48000")
    return ("pcm16", int(rate)) if known else None


class _Speaking:
    def __init__(
        self,
        socket: Socket,
        call: SpeechCall,
        fault: SpeechFault | None,
        settings: SpeechSettings,
        encoding: str,
        rate: int,
    ) -> None:
        self.socket = socket
        self.call = call
        self.fault = fault
        self.settings = settings
        self.format = (encoding, rate)
        self.texts: asyncio.Queue[str | None] = asyncio.Queue()
        self.began = False
        socket.on_message = self.heard

    def heard(self, message: str | bytes) -> None:
        try:
            order = orjson.loads(message)
            text = order["text"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            self.fail("invalid_input_message", "Could not parse the message.")
            return
        self.call.messages.append(order)
        if not self.began:
            self.began = True
            if text != " ":
                self.fail("invalid_input_message", "The first message must be a space.")
            return
        if text:
            self.call.text += text
            self.texts.put_nowait(text.strip())
        else:
            self.texts.put_nowait(None)

    async def run(self, idle: float, *, aligned: bool) -> None:
        gone = asyncio.ensure_future(self.socket.gone.wait())
        try:
            while not gone.done():
                taking = asyncio.ensure_future(self.texts.get())
                await asyncio.wait({taking, gone}, timeout=idle, return_when=asyncio.FIRST_COMPLETED)
                if not taking.done():
                    taking.cancel()
                    self.fail("input_timeout_exceeded", "Have not received a new text in time.")
                    return
                text = taking.result()
                if text is None:
                    break
                if not await self.speak(text, aligned=aligned and self.settings.timestamps):
                    await gone
                    return
            self.socket.send('{"audio":null,"isFinal":true,"normalizedAlignment":null,"alignment":null}')
            self.socket.close(1000)
            self.call.complete = not gone.done()
            await gone
        finally:
            gone.cancel()

    async def speak(self, text: str, *, aligned: bool) -> bool:
        """Say it; False when the connection is not to be used any more."""
        fault, settings = self.fault, self.settings
        if settings.first_audio_ms:
            await asyncio.sleep(settings.first_audio_ms / 1000)
        sound = Sound.of(text, *self.format)
        size = settings.chunk_ms
        for number, frame in enumerate(_frames(text, *self.format, size, aligned)):
            if fault is not None and fault.kind != "drip" and self.call.spoken_ms >= fault.after_ms:
                return self.strike(fault)
            self.socket.send(frame)
            self.call.spoken_ms += min(size, sound.ms - number * size)
            drip = fault is not None and fault.kind == "drip"
            pause = fault.interval if fault is not None and drip else settings.chunk_interval_ms / 1000
            if pause:
                await asyncio.sleep(pause)
        return True

    def strike(self, fault: SpeechFault) -> bool:
        match fault.kind:
            case "cut":
                self.socket.drop()
            case "close":
                self.socket.close(1011, fault.message)
            case "garbage":
                self.socket.send('{"audio":"not base64!",')
            case "error_frame":
                self.fail(fault.error or "internal_error", fault.message)
            case "empty":
                self.socket.send('{"audio":null,"isFinal":true}')
                self.socket.close(1000)
        return False

    def fail(self, error: str, message: str) -> None:
        self.socket.send_json({"message": message, "error": error, "code": 1008})
        self.socket.close(1008, message[:120])


@lru_cache(maxsize=500)
def _frames(text: str, encoding: str, rate: int, chunk_ms: float, aligned: bool) -> tuple[bytes, ...]:
    sound = Sound.of(text, encoding, rate)
    frames = []
    for number, piece in enumerate(sound.pieces(chunk_ms)):
        begin = number * chunk_ms
        alignment = sound.alignment(begin, begin + chunk_ms) if aligned else None
        frames.append(
            orjson.dumps(
                {
                    "audio": base64.b64encode(piece).decode(),
                    "isFinal": None,
                    "normalizedAlignment": alignment,
                    "alignment": alignment,
                }
            )
        )
    return tuple(frames)
