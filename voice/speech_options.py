"""What a session's config says to speech services. Pure."""

from voice.config import Connector
from voice.connectors.types import SttOptions, TtsOptions


def stt_options(connector: Connector, language: str) -> SttOptions:
    """What a session's config says about recognising."""
    phrases = connector.config.get("phrases", ())
    return SttOptions(language=language, phrases=tuple(phrases), extra=connector.config)


def tts_options(connector: Connector, language: str) -> TtsOptions:
    """What a session's config says about speaking."""
    given = connector.config
    return TtsOptions(
        voice=str(given.get("voice", "")),
        language=str(given.get("language", language)),
        speed=float(given.get("speed", 1.0)),
        extra=given,
    )
