"""Audio as the body of an HTTP answer, with the ways it can fail."""

import asyncio

from .speech_audio import Sound
from .speech_vendor import SpeechCall, SpeechFault, SpeechSettings
from .vendor_faults import gone_within
from .vendor_http import Exchange


async def send_audio(
    exchange: Exchange,
    call: SpeechCall,
    sound: Sound,
    fault: SpeechFault | None,
    settings: SpeechSettings,
) -> None:
    kind = fault.kind if fault is not None else ""
    if settings.first_audio_ms and await gone_within(exchange, settings.first_audio_ms / 1000):
        return
    call.status = 200
    if kind == "error_frame":  # over HTTP an error is a status
        exchange.send(500, {"content-type": "application/json"}, b'{"error":{"message":"scripted fault"}}')
        return
    if kind == "garbage":
        exchange.send(200, {"content-type": "application/json"}, b'{"half":')
        return
    if kind != "silence" or (fault and fault.after_ms):
        exchange.begin(200, {"content-type": "audio/basic"})
    if kind == "empty":
        exchange.end()
        return
    for piece in sound.pieces(settings.chunk_ms):
        if fault is not None and kind != "drip" and call.spoken_ms >= fault.after_ms:
            await _fail(exchange, fault)
            return
        exchange.chunk(piece)
        call.spoken_ms += len(piece) / sound.bytes_a_ms
        pause = fault.interval if fault is not None and kind == "drip" else settings.chunk_interval_ms / 1000
        if pause and await gone_within(exchange, pause):
            return
    exchange.end()
    call.complete = not exchange.gone.is_set()


async def _fail(exchange: Exchange, fault: SpeechFault) -> None:
    match fault.kind:
        case "silence":
            await exchange.gone.wait()
        case "cut":
            await asyncio.sleep(0.02)  # a reset overtakes data that was not read yet
            exchange.reset()
        case _:
            exchange.close()
