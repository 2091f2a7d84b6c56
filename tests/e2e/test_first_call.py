"""The first call of a new user: `make run` on a machine without a key, and `make smoke`."""

import json
import subprocess
import sys
import urllib.request
from typing import Any

from tests.fakes.caller.__main__ import usual
from tests.integration.processes import until
from tests.integration.test_supervisor import Service


def test_it_is_understood_answered_and_written_down(service: Service) -> None:
    command = [sys.executable, "-m", "tests.fakes.caller", "--data-dir", str(service.data_dir)]
    called = subprocess.run(
        [*command, "--url", f"http://127.0.0.1:{service.port}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert called.returncode == 0, called.stdout + called.stderr
    [row] = ask(service, "/api/voice/calls")
    address = f"/api/voice/calls/{row['id']}"
    until(lambda: ask(service, address)["latencies"], "its latencies")
    call = ask(service, address)
    assert (call["transport"], call["state"]) == ("twilio", "ended")
    said = [turn for turn in call["turns"] if turn["caller_text"]]
    # Recorded speech where there is some, and the machine's own elsewhere.
    assert said[0]["caller_text"] == usual()[0]
    assert said[0]["caller_text"] in said[0]["reply_text"]
    assert said[0]["heard_text"] == said[0]["reply_text"]
    assert call["latencies"]["first_frame"]["p50"] > 0
    assert float(call["cost"]) == 0  # nothing here is paid for
    assert said[0]["reply_text"] in called.stdout


def ask(service: Service, path: str) -> Any:
    key = (service.data_dir / "api_key").read_text().strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.port}{path}", headers={"Authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())
