"""What single values of a config may be: each rule reads one and describes it in JSON Schema. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from voice.agent_tools import TOOLS
from voice.config_reading import LANGUAGE, PHONE, Findings, escape, is_phone_number


class Rule(Protocol):
    """One kind of value."""

    def read(self, findings: Findings, value: Any, at: str, default: Any) -> Any:
        """The value, or `default` when it is missing or wrong, which is then found."""
        ...

    def schema(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Words:
    """A text of `least` to `most` characters."""

    most: int
    least: int = 0

    def read(self, findings: Findings, value: Any, at: str, default: str) -> str:
        return findings.text(value, at, default=default, least=self.least, most=self.most)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.most} | ({"minLength": self.least} if self.least else {})


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    least: int
    most: int

    def read(self, findings: Findings, value: Any, at: str, default: int) -> int:
        return findings.integer(value, at, default=default, least=self.least, most=self.most)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Real:
    """A number."""

    least: float
    most: float

    def read(self, findings: Findings, value: Any, at: str, default: float) -> float:
        return findings.number(value, at, default=default, least=self.least, most=self.most)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def read(self, findings: Findings, value: Any, at: str, default: bool) -> bool:
        return findings.boolean(value, at, default=default)

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    choices: tuple[str, ...]

    def read(self, findings: Findings, value: Any, at: str, default: str) -> str:
        return findings.choice(value, at, default=default, choices=self.choices)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices)}


@dataclass(frozen=True, slots=True)
class ListOfWords:
    """Texts that are not empty."""

    most: int
    longest: int

    def read(self, findings: Findings, value: Any, at: str, default: tuple[str, ...]) -> tuple[str, ...]:
        return findings.texts(value, at, default=default, most=self.most, longest=self.longest)

    def schema(self) -> dict[str, Any]:
        words = Words(self.longest, 1).schema()
        return {"type": "array", "maxItems": self.most, "items": words}


@dataclass(frozen=True, slots=True)
class LanguageTag:
    """A language tag (BCP 47), such as `en-US`."""

    def read(self, findings: Findings, value: Any, at: str, default: str) -> str:
        return findings.language(value, at, default=default)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{LANGUAGE.pattern}$"}


@dataclass(frozen=True, slots=True)
class SomeOf:
    """Some of a few words."""

    choices: tuple[str, ...]

    def read(self, findings: Findings, value: Any, at: str, default: tuple[str, ...]) -> tuple[str, ...]:
        items = findings.sequence(value, at, most=len(self.choices))
        return tuple(
            findings.choice(item, f"{at}/{place}", default="", choices=self.choices)
            for place, item in enumerate(items)
        )

    def schema(self) -> dict[str, Any]:
        word = {"type": "string", "enum": list(self.choices)}
        return {"type": "array", "items": word, "maxItems": len(self.choices)}


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Texts by the words that they stand for."""

    most: int
    longest: int

    def read(self, findings: Findings, value: Any, at: str, default: Mapping[str, str]) -> Mapping[str, str]:
        members = findings.mapping(value, at)
        if len(members) > self.most:
            findings.add(at, f"At most {self.most} of them.", "too_many")
            return {}
        return {
            word: findings.text(text, f"{at}/{escape(word)}", most=self.longest)
            if text is not None
            else findings.missing(f"{at}/{escape(word)}")
            for word, text in members.items()
        }

    def schema(self) -> dict[str, Any]:
        words = Words(self.longest).schema()
        return {"type": "object", "additionalProperties": words, "maxProperties": self.most}


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where callers may be transferred: a telephone number or SIP address, or names with theirs."""

    most: int = 20

    def read(self, findings: Findings, value: Any, at: str, default: Any) -> Any:
        if value is None:
            return default
        if isinstance(value, str):
            self._check(findings, value, at)
            return value
        places = Dictionary(self.most, 200).read(findings, value, at, {})
        for name, address in places.items():
            self._check(findings, address, f"{at}/{escape(name)}")
        return places

    def schema(self) -> dict[str, Any]:
        address = {"type": "string", "pattern": f"^(?:{PHONE.pattern}|{_SIP.pattern})$"}
        names = {"type": "object", "additionalProperties": address, "maxProperties": self.most}
        return {"anyOf": [address, names]}

    def _check(self, findings: Findings, address: str, at: str) -> None:
        if not is_address(address):
            findings.add(at, "Must be a number such as +15005550006, or a SIP address.", "invalid_address")


@dataclass(frozen=True, slots=True)
class Object:
    """Any JSON object of at most `most` bytes."""

    most: int

    def read(self, findings: Findings, value: Any, at: str, default: Mapping[str, Any]) -> Mapping[str, Any]:
        members = findings.mapping(value, at)
        if len(json.dumps(members, default=str)) > self.most:
            findings.add(at, f"Longer than {self.most // 1024} KiB.", "too_long")
            return default
        return dict(members)

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": True}


_SIP: Final = re.compile(r"sips?:[A-Za-z0-9._~+\-]{1,64}@[A-Za-z0-9.\-]{1,100}(?::[0-9]{1,5})?")


def is_address(text: str) -> bool:
    """Whether a caller can be transferred there: a telephone number or a SIP address."""
    return is_phone_number(text) or _SIP.fullmatch(text) is not None


#: One rule for each field of `voice.config.TurnSettings`; a unit test keeps it whole.
TURN: Final[Mapping[str, Rule]] = {
    "silence_ms": Whole(100, 10_000),
    "interrupt": OneOf(("pause_then_decide", "immediate", "never")),
    "speculate": Flag(),
    "filler": ListOfWords(20, 200),
    "filler_after_ms": Whole(0, 60_000),
    "greeting": Words(2000),
    "goodbye": Words(2000),
    "max_call_seconds": Whole(1, 86_400),
    "idle_seconds": Whole(1, 3600),
    "voicemail": OneOf(("ignore", "hang_up", "message")),
    "voicemail_message": Words(2000),
    "record": Flag(),
    "consent_prompt": Words(2000),
    "redact": Flag(),
    "dtmf_timeout_ms": Whole(100, 60_000),
}

#: One rule for each field of `voice.config.DialogSettings`.
DIALOG: Final[Mapping[str, Rule]] = {
    "workflow_id": Words(40, 1),
    "input": Object(16 * 1024),
    "at_end": OneOf(("hang_up", "agent")),
    "on_failure": OneOf(("agent", "person", "hang_up")),
}

#: The settings of connectors that we read ourselves; a service may have others of its own.
OPTIONS: Final[Mapping[str, Mapping[str, Rule]]] = {
    "stt": {"phrases": ListOfWords(1000, 200), "language": LanguageTag(), "model": Words(100, 1)},
    "tts": {
        "voice": Words(200),
        "language": LanguageTag(),
        "model": Words(100, 1),
        "speed": Real(0.25, 4.0),
    },
    "llm": {
        "agent_id": Words(40, 1),
        "model": Words(100, 1),
        "temperature": Real(0.0, 2.0),
        "max_tokens": Whole(1, 100_000),
        "tools": SomeOf(TOOLS),
        "transfer": Destinations(),
    },
    # Text stages, by what does their work.
    "translate": {"source": Words(60), "target": Words(60), "model": Words(100, 1)},
    "filter": {
        "replace": Dictionary(500, 200),
        "pronounce": Dictionary(500, 200),
        "remove": ListOfWords(500, 100),
        "personal_data": OneOf(("keep", "redact")),
    },
}
