"""Where keys of speech services come from."""

import pytest
from django.conf import LazySettings

from agents.credentials import credentials, set_credential
from networks.models import Project
from voice.credentials import SpeechKeys

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def speech(settings: LazySettings) -> None:
    settings.SPEECH = {
        "deepgram": {"api_key": "ours-deepgram", "base_url": "http://deepgram.test"},
        "elevenlabs": {"api_key": "", "base_url": ""},
        "azure": {"api_key": "ours-azure", "base_url": "", "region": "westeurope"},
        "openai": {"api_key": "", "base_url": ""},
    }


def test_it_takes_the_installations_key() -> None:
    found = SpeechKeys().get("", "deepgram")
    assert found is not None
    assert (found.api_key, found.base_url) == ("ours-deepgram", "http://deepgram.test")
    assert found.fingerprint
    assert "ours" not in found.fingerprint


def test_it_finds_no_key_where_there_is_none() -> None:
    assert SpeechKeys().get("", "elevenlabs") is None
    assert SpeechKeys().get("", "nobody") is None


def test_it_reaches_azure_in_its_region() -> None:
    found = SpeechKeys().get("", "azure")
    assert found is not None
    assert found.base_url == "https://westeurope.tts.speech.microsoft.com"


def test_it_prefers_the_projects_own_key() -> None:
    project = Project.objects.create(name="Owner")
    set_credential(project_id=project.id, provider="azure", api_key="their-own")
    credentials.refresh()
    found = SpeechKeys().get(project.id, "azure")
    assert found is not None
    assert found.api_key == "their-own"
    assert found.base_url == "https://westeurope.tts.speech.microsoft.com"
    stranger = SpeechKeys().get("project_other", "azure")
    assert stranger is not None
    assert stranger.api_key == "ours-azure"
