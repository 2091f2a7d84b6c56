"""The transports there are, and what each is like. Adding one is a file and a line here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class TransportKind:
    """`reached_by`: a telephone number, a WebSocket of ours, an offer to be answered, or a vendor's room that
    our side joins. `extra`: the package of requirements-extras.txt that it needs, if any."""

    reached_by: Literal["number", "socket", "offer", "room"]
    module: str
    extra: str = ""


TRANSPORTS: Final[Mapping[str, TransportKind]] = {
    "twilio": TransportKind("number", "voice.transports.twilio"),
    "web": TransportKind("socket", "voice.transports.web"),
    "webrtc": TransportKind("offer", "voice.transports.webrtc", extra="aiortc"),
    "livekit": TransportKind("room", "voice.transports.livekit", extra="livekit"),
    "daily": TransportKind("room", "voice.transports.daily", extra="daily"),
}
