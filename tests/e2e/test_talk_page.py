"""`/talk` in a real browser, on a fresh service without any key: recorded speech in, an agent's voice out."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.chromium import Browser, microphone, program
from tests.fakes.caller.recordings import read_wav, recordings
from tests.integration.test_supervisor import Service

PHRASE = "do not disturb"


@pytest.mark.skipif(program() is None, reason="no Chromium on this machine")
@pytest.mark.skipif(
    PHRASE not in recordings(), reason="no recorded speech: apt install asterisk-core-sounds-en-wav"
)
async def test_it_understands_a_caller_and_is_heard(service: Service, tmp_path: Path) -> None:
    recording = tmp_path / "microphone.wav"
    microphone(recording, read_wav(recordings()[PHRASE]), after=9, then=30)
    key = (service.data_dir / "api_key").read_text().strip()
    async with Browser(str(program()), recording) as browser:
        await browser.open(f"http://localhost:{service.port}/talk")
        await browser.run(
            f"""
            const set = (id, value) => {{
                document.getElementById(id).value = value;
                document.getElementById(id).dispatchEvent(new Event("change"));
            }};
            set("phrases", "{PHRASE}\\ngoodbye");
            set("greeting", "Hello.");
            set("key", "{key}");
            """
        )
        await browser.until("document.getElementById('network').value.startsWith('network_')")
        await browser.run("document.getElementById('talk').click()")
        await browser.until("document.getElementById('talk').ariaPressed === 'true'")
        await browser.until("document.querySelector('#transcript .caller') !== null")
        assert await browser.run("document.querySelector('#transcript .caller').textContent") == PHRASE
        await browser.until("document.getElementById('theirs').value > 0.02")  # it is really played
        await browser.until("document.querySelectorAll('#transcript .agent small').length === 2")
        told = await browser.run(
            "[...document.querySelectorAll('#transcript .agent')].map((line) => line.textContent)"
        )
        assert told[0].startswith("Hello.")
        assert PHRASE in told[1]
        assert (await browser.run("document.getElementById('latency').textContent")).endswith(" ms")
        await browser.run("document.getElementById('talk').click()")
        await browser.until("document.getElementById('talk').ariaPressed === 'false'")
        assert browser.errors == []
    [call] = await _calls(service, key)
    assert (call["state"], call["end_reason"], call["transport"]) == ("ended", "caller_hung_up", "web")
    turn = call["turns"][1]
    assert turn["caller_text"] == PHRASE
    assert turn["heard_text"] == turn["reply_text"]  # the page told what had been played
    assert turn["latencies"]["first_frame"] > 0


async def _calls(service: Service, key: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=f"http://localhost:{service.port}", headers=headers) as client:
        found = (await client.get("/api/voice/calls")).json()
        return [(await client.get(f"/api/voice/calls/{call['id']}")).json() for call in found]
