"""What speech services cost, in US dollars, in one table. Estimates: contracts and tiers differ.

Where the source is not the vendor's own page, it says "reported". A service that is not here costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Price:
    """`minute` of audio heard, `million` characters spoken."""

    minute: float = 0.0
    million: float = 0.0
    source: str = ""


PRICES: Final[Mapping[tuple[str, str], Price]] = {
    ("stt", "deepgram"): Price(minute=0.0077, source="reported, nova-3 streaming, 2026-11"),
    ("stt", "openai"): Price(minute=0.017, source="developers.openai.com, gpt-live-transcribe, 2026-11"),
    ("tts", "elevenlabs"): Price(million=50.0, source="reported, flash models by API, 2026-11"),
    ("tts", "azure"): Price(million=15.0, source="reported, standard neural voices, 2026-11"),
    # Billed by tokens of audio; about $0.015 a minute, and a minute holds about 840 characters.
    ("tts", "openai"): Price(million=18.0, source="reported, gpt-4o-mini-tts, 2026-11"),
}
_FREE: Final = Price()


def cost(kind: str, connector: str, *, seconds: float = 0.0, characters: int = 0) -> float:
    """Return the US dollars that so much of a service costs. `kind` is stt or tts."""
    price = PRICES.get((kind, connector), _FREE)
    return seconds / 60 * price.minute + characters / 1_000_000 * price.million
