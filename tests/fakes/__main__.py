"""`python -m tests.fakes --port 9100 [--latency-ms 200]`: the simulated vendors as a process of their own."""

import argparse
import asyncio
import signal

import uvloop

from .vendor_server import vendor_servers


async def serve(port: int, latency: float) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with vendor_servers(port, latency) as vendors:
        urls = {name: vendor.url for name, vendor in vendors.all.items()}
        print(f"ANTHROPIC_BASE_URL={urls['anthropic']} OPENAI_BASE_URL={urls['openai']}", flush=True)
        print(f"GOOGLE_GEMINI_BASE_URL={urls['google']} LOCAL_LLM_BASE_URL={urls['local']}", flush=True)
        speech = {name: vendor.url for name, vendor in vendors.speech.items()}
        print(
            f"DEEPGRAM_BASE_URL={speech['deepgram']} ELEVENLABS_BASE_URL={speech['elevenlabs']}", flush=True
        )
        print(f"AZURE_SPEECH_BASE_URL={speech['azure']}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.latency_ms / 1000))
