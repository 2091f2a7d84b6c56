"""What goes over the bus: JSON for words, a small binary envelope for audio. Pure.

Each sender numbers the messages of a work from 0, so that a gap is seen: then the work is begun anew elsewhere.
"""

import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import orjson

from agents.providers.errors import Failure, ProviderError
from voice.audio import AudioFormat
from voice.connectors.types import Speech, SpeechUse, Transcript, WordTime
from voice.pipeline.ports import (
    ReplyAction,
    ReplyDone,
    ReplyPiece,
    ReplyText,
    ToolUsed,
    TurnRequest,
    Utterance,
)

VERSION: Final = 1
FRAME_MS: Final = 60.0  # audio goes in pieces no longer than this
_AUDIO: Final = 1  # the first byte of an audio message; JSON begins with a brace
_HEAD: Final = struct.Struct(">BIH")  # the byte, the number, the length of the JSON before the audio


class Unreadable(ValueError):
    """A message of another version, or none at all."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a stage. `service` is its name in the session's flow; `outside` are the kinds of stages that live
    outside, to whom a stage may hand on; `body` is what is to be done."""

    id: str
    service: str
    project: str
    network: str
    call: str
    worker: str
    session: str
    version: int
    format: AudioFormat
    outside: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        return orjson.dumps({"v": VERSION, **asdict(self)})

    def handed_on(self, service: str, text: str) -> "Job":
        """The same work, for the next service."""
        return replace(self, service=service, body={**self.body, "text": text})

    @classmethod
    def unpack(cls, data: bytes) -> "Job":
        """Raises `Unreadable`."""
        members = _json(data)
        try:
            members["format"] = AudioFormat(**members["format"])
            members["outside"] = tuple(members["outside"])
            return cls(**members)
        except (KeyError, TypeError) as error:
            raise Unreadable(str(error)) from error


@dataclass(frozen=True, slots=True)
class Message:
    """A step of a work. Its types:

    to the call     accepted {at, service} · routed {to, text} · done · failed · lost · transcript · piece · audio ·
                    event · task · heard {number}
    to the stage    audio · finish · began · ended · more · keep · cancel
    """

    type: str
    number: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    audio: bytes = b""

    def pack(self) -> bytes:
        if self.type == "audio":
            meta = orjson.dumps({"v": VERSION, **self.fields}) if self.fields else b""
            return _HEAD.pack(_AUDIO, self.number, len(meta)) + meta + self.audio
        return orjson.dumps({"v": VERSION, "t": self.type, "n": self.number, "f": dict(self.fields)})

    @classmethod
    def unpack(cls, data: bytes) -> "Message":
        """Raises `Unreadable`."""
        if data[:1] == b"\x01" and len(data) >= _HEAD.size:
            _, number, length = _HEAD.unpack_from(data)
            start = _HEAD.size + length
            fields = _json(data[_HEAD.size : start]) if length else {}
            return cls("audio", number, fields, data[start:])
        members = _json(data)
        try:
            return cls(members["t"], members["n"], members["f"])
        except KeyError as error:
            raise Unreadable(str(error)) from error


def _json(data: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(data)
        if members.pop("v") != VERSION:
            raise Unreadable("of another version")
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise Unreadable(str(error)) from error
    return dict(members)


def frames(audio: bytes, format: AudioFormat) -> list[bytes]:
    """Audio in pieces that are sent one by one."""
    size = format.size(FRAME_MS)
    return [audio[start : start + size] for start in range(0, len(audio), size)] or [b""]


# ---- values of a call, as fields and back --------------------------------------------------------


def transcript_fields(heard: Transcript, connector: str, use: tuple[SpeechUse, ...]) -> dict[str, Any]:
    return {"heard": asdict(heard), "connector": connector, "use": use_fields(use)}


def use_fields(use: tuple[SpeechUse, ...]) -> list[dict[str, Any]]:
    return [asdict(line) for line in use]


def read_use(lines: Any) -> tuple[SpeechUse, ...]:
    return tuple(SpeechUse(**line) for line in lines or ())


def speech_fields(speech: Speech) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if speech.connector:
        fields["connector"] = speech.connector
    if speech.restarts:
        fields["restarts"] = True
    if speech.words:
        fields["words"] = [(word.start, word.end, word.at_ms) for word in speech.words]
    return fields


def read_speech(message: Message) -> Speech:
    fields = message.fields
    return Speech(
        message.audio,
        words=tuple(WordTime(*word) for word in fields.get("words", ())),
        restarts=bool(fields.get("restarts")),
        connector=str(fields.get("connector", "")),
    )


def request_fields(request: TurnRequest) -> dict[str, Any]:
    return {
        "turn": request.turn,
        "text": request.text,
        "history": [(line.role, line.text) for line in request.history],
        "speculative": request.speculative,
        "note": request.note,
    }


def read_request(body: Mapping[str, Any]) -> TurnRequest:
    return TurnRequest(
        turn=body["turn"],
        text=body["text"],
        history=tuple(Utterance(role, text) for role, text in body["history"]),
        speculative=body["speculative"],
        note=body["note"],
    )


_PIECES: Final[Mapping[str, type]] = {
    piece.__name__: piece for piece in (ReplyText, ReplyAction, ToolUsed, ReplyDone)
}


def piece_fields(piece: ReplyPiece) -> dict[str, Any]:
    return {"piece": type(piece).__name__, "of": asdict(piece)}


def read_piece(fields: Mapping[str, Any]) -> ReplyPiece:
    members = dict(fields["of"])
    if "citations" in members:
        members["citations"] = tuple(members["citations"])
    piece: ReplyPiece = _PIECES[fields["piece"]](**members)
    return piece


def failure_fields(error: Exception) -> dict[str, Any]:
    if isinstance(error, ProviderError):
        return {
            "category": error.category.value,
            "message": str(error),
            "provider": error.provider,
            "model": error.model,
        }
    return {
        "category": Failure.INTERNAL.value,
        "message": f"{type(error).__name__}: {error}"[:300],
        "provider": "",
        "model": "",
    }


def read_failure(fields: Mapping[str, Any]) -> ProviderError:
    return ProviderError(
        Failure(fields["category"]), fields["message"], provider=fields["provider"], model=fields["model"]
    )
