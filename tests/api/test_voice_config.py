"""`manage.py voice_config`: a config in a file is checked, or becomes a session."""

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from networks.models import Network
from voice.models import VoiceSession

from .conftest import Caller

pytestmark = pytest.mark.django_db

SAMPLE = settings.BASE_DIR / "config" / "agent-config.json"


def test_it_finds_the_sample_right(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("voice_config", "validate", str(SAMPLE))
    assert "transport → stt → llm → spoken → tts → transport" in capsys.readouterr().out


def test_it_makes_a_session_of_the_sample(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("voice_config", "load", str(SAMPLE))
    shown = json.loads(capsys.readouterr().out)
    session = VoiceSession.objects.get(pk=shown["session_id"])
    assert session.network == network
    assert session.config["connectors"]["spoken"]["primary"] == "filter"
    assert shown["transport"]["twiml_url"].endswith(session.pk)


def test_it_is_accepted_by_the_api_as_well(owner: Caller, network: Network) -> None:
    response = owner.send("POST", "/api/voice/sessions/with-config", SAMPLE.read_bytes())
    assert response.status_code == 201, response.content


def test_it_names_everything_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"ttl_seconds": 0, "turn": {"silence_ms": "x"}, "connectors": {"stt": {}}}')
    with pytest.raises(CommandError) as caught:
        call_command("voice_config", "validate", str(path))
    for pointer in ("/ttl_seconds", "/turn/silence_ms", "/connectors/stt/primary"):
        assert f"{pointer}: " in str(caught.value)


@pytest.mark.parametrize(("text", "said"), [("{", "is not JSON"), ("[]", "does not hold an object")])
def test_it_says_that_a_file_is_no_config(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(CommandError, match=said):
        call_command("voice_config", "validate", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("voice_config", "validate", str(tmp_path / "none.json"))


def test_it_says_that_nobody_could_answer(tmp_path: Path, owner: Caller) -> None:
    with pytest.raises(CommandError, match="no network that could answer"):
        call_command("voice_config", "load", str(SAMPLE))
    with pytest.raises(CommandError, match="no network network_x"):
        call_command("voice_config", "load", str(SAMPLE), "--network", "network_x")
