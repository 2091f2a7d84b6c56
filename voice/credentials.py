"""Keys of speech services: the project's own, else the environment's. Satisfies `voice.connectors.ports`."""

from dataclasses import replace

from django.conf import settings

from agents.credentials import credentials, fingerprint
from agents.resilience.ports import Credential


class SpeechKeys:
    """Reads copies, as `agents.credentials` does; never asks the database on the event loop."""

    def get(self, project_id: str, service: str) -> Credential | None:
        own = credentials.get(project_id, service)
        if own is None:
            return installation_speech_key(service)
        return own if own.base_url else replace(own, base_url=speech_address(service))


def installation_speech_key(service: str) -> Credential | None:
    """The key of the environment."""
    api_key = settings.SPEECH.get(service, {}).get("api_key", "")
    if not api_key:
        return None
    return Credential(api_key, speech_address(service), fingerprint(api_key))


def speech_address(service: str) -> str:
    """The address of the environment; empty is the vendor's own. Azure's is that of its region."""
    given = settings.SPEECH.get(service, {})
    if service == "azure" and not given.get("base_url"):
        return f"https://{given.get('region') or 'eastus'}.tts.speech.microsoft.com"
    return given.get("base_url", "")
