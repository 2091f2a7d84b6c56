"""The tools for real lines: SIPp's scenarios can be read, and the dialler dials nothing unless it is told to."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

LOAD = Path(__file__).parents[2] / "ops" / "load"
SCENARIOS = sorted((LOAD / "sipp").glob("*.xml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_a_scenario_begins_and_ends_a_call(path: Path) -> None:
    scenario = ElementTree.parse(path).getroot()
    assert scenario.tag == "scenario"
    sent = [(message.text or "").split()[0] for message in scenario.iter("send")]
    assert sent[:2] == ["INVITE", "ACK"]
    assert "BYE" in sent
    played = [action.get("rtp_stream", "").partition(",")[0] for action in scenario.iter("exec")]
    written = (LOAD / "README.md").read_text()
    assert all(name in written or (LOAD / "sipp" / name).exists() for name in played if name), played


def dialler(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TWILIO_")}
    return subprocess.run(
        [sys.executable, str(LOAD / "twilio_dialler.py"), "--to", "+15005550006", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


def test_the_dialler_says_what_it_would_do() -> None:
    told = dialler("--calls", "3", "--turns", "2", "--say", "Salt & pepper")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("3 calls to +15005550006")
    [twiml] = [line for line in told.stdout.splitlines() if "<Response>" in line]
    assert [verb.tag for verb in ElementTree.fromstring(twiml.strip())] == [
        *("Pause", "Say", "Pause", "Say"),
        *("Pause", "Hangup"),
    ]
    assert "Nothing was dialled" in told.stdout


def test_the_dialler_names_what_it_lacks() -> None:
    told = dialler("--really")
    assert told.returncode == 2
    assert "TWILIO_ACCOUNT_SID" in told.stderr
