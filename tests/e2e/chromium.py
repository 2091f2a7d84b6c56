"""Chromium with a recording for a microphone, driven over its own debugging protocol."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import wave
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import soxr
from numpy.typing import NDArray
from websockets.asyncio.client import connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program() -> str | None:
    """The browser of this machine, if there is one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def microphone(path: Path, sound: NDArray[np.int16], *, after: float, then: float) -> None:
    """Write what is heard through the microphone: `sound` (8 kHz) between seconds of silence."""
    silence = [np.zeros(int(8000 * seconds), np.int16) for seconds in (after, then)]
    wide = soxr.resample(np.concatenate([silence[0], sound, silence[1]]), 8000, 48_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(wide.astype("<i2").tobytes())


class Browser:
    """One page of a browser. Everything it logs as an error is in `errors`."""

    def __init__(self, executable: str, recording: Path) -> None:
        self._executable = executable
        self._recording = recording
        self._profile = Path(tempfile.mkdtemp(prefix="mesh-chromium-"))
        self._numbers = count(1)
        self.errors: list[str] = []

    async def __aenter__(self) -> "Browser":
        self._process = await asyncio.create_subprocess_exec(
            self._executable,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={self._profile}",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={self._recording}%noloop",
            "about:blank",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = self._profile / "DevToolsActivePort"
        async with asyncio.timeout(30):
            while not port_file.exists():  # noqa: ASYNC110 (another program writes it)
                await asyncio.sleep(0.05)
        port = port_file.read_text().split()[0]
        async with httpx2.AsyncClient() as client:
            pages = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
        [address] = [page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"]
        self._socket = await connect(address, max_size=None)
        for domain in ("Page", "Runtime", "Log"):
            await self._ask(f"{domain}.enable")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        self._process.terminate()
        await self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def open(self, url: str) -> None:
        await self._ask("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str) -> Any:
        """Evaluate JavaScript as a user's click would; returns its value."""
        answer = await self._ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str, seconds: float = 40) -> None:
        """Return as soon as an expression is true."""
        async with asyncio.timeout(seconds):
            while not await self.run(script):  # noqa: ASYNC110 (a page does not call back)
                await asyncio.sleep(0.05)

    async def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            if message["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                entry = message["params"].get("entry", {"level": "error"})
                if entry["level"] == "error":
                    self.errors.append(json.dumps(message["params"])[:500])
