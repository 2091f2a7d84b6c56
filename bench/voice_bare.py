"""The floor of a turn with speculation: the voice alone, asked by a bare socket in a process of its own.

A call that has its answer ready still has to have it spoken, and no pipeline is quicker than the service's own
answer. The pauses between the questions are a turn's, so that the core has gone to sleep as it does in a call.
"""

import asyncio
import os
import sys
import time

import orjson
import uvloop

from tests.fakes.caller.websocket import WebSocket

TIMES = 14
PAUSE = 2.5  # seconds
_QUERY = "model_id=eleven_flash_v2_5&output_format=ulaw_8000&sync_alignment=true&auto_mode=true"


async def first_sounds(base: str, text: str, core: int) -> list[float]:
    """Milliseconds from the text to its first sound, each on a connection that was open already."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.voice_bare", base, text), stdout=asyncio.subprocess.PIPE
    )
    os.sched_setaffinity(child.pid, {core})
    told, _ = await child.communicate()
    found: list[float] = orjson.loads(told)
    return found


async def _ask(base: str, text: str) -> float:
    heard = asyncio.get_running_loop().create_future()

    def note(data: bytes, at: float) -> None:
        if not heard.done() and orjson.loads(data).get("audio"):
            heard.set_result(at)

    socket = WebSocket(note, lambda code: None)
    url = f"{base.replace('http', 'ws', 1)}/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream-input?{_QUERY}"
    await socket.connect(url, {"xi-api-key": "simulated"})
    socket.send_text(b'{"text":" "}')
    await asyncio.sleep(PAUSE)
    asked = time.monotonic()
    socket.send_text(orjson.dumps({"text": text + " ", "flush": True}))
    socket.send_text(b'{"text":""}')
    took = (await heard - asked) * 1000
    socket.close()
    return float(took)


async def _main(base: str, text: str) -> None:
    found = [await _ask(base, text) for _ in range(TIMES + 1)]
    print(orjson.dumps(found[1:]).decode())  # the service has learnt to say it by then


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
