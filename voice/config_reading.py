"""Reading values out of JSON that people wrote: every finding is kept, with its place, and reading goes on. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")
PHONE: Final = re.compile(r"\+[1-9][0-9]{5,14}")


class Finding(NamedTuple):
    """What is wrong at one place; `pointer` is a JSON pointer into the body."""

    pointer: str
    message: str
    code: str


@dataclass(slots=True)
class Findings:
    """What is wrong with one body. A reader that finds something returns a default, so that all of it is found."""

    found: list[Finding] = field(default_factory=list)

    def add(self, pointer: str, message: str, code: str = "invalid") -> None:
        self.found.append(Finding(pointer, message, code))

    def mapping(
        self, value: Any, pointer: str, *, known: Collection[str] | None = None, nulls: bool = True
    ) -> Mapping[str, Any]:
        """An object; members that are not `known` are findings, and so is null where it is not free-form."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.add(pointer, "Must be an object.", "not_an_object")
            return {}
        for name in value:
            if known is not None and name not in known:
                self.add(f"{pointer}/{escape(name)}", "Unknown field.", "unknown_field")
            elif value[name] is None and not (nulls and known is None):
                self.add(f"{pointer}/{escape(name)}", "Must not be null.", "null")
        return value

    def sequence(self, value: Any, pointer: str, *, most: int) -> Sequence[Any]:
        """A list of at most `most` values."""
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence):
            self.add(pointer, "Must be a list.", "not_a_list")
            return ()
        if len(value) > most:
            self.add(pointer, f"At most {most} of them.", "too_many")
            return value[:most]
        return value

    def text(self, value: Any, pointer: str, *, default: str = "", least: int = 0, most: int = 2000) -> str:
        """A string of `least` to `most` characters."""
        if value is None:
            return default
        if not isinstance(value, str):
            self.add(pointer, "Must be a string.", "not_a_string")
        elif len(value) < least:
            self.add(pointer, "Must not be empty.", "blank")
        elif len(value) > most:
            self.add(pointer, f"Longer than {most} characters.", "too_long")
        else:
            return value
        return default

    def integer(self, value: Any, pointer: str, *, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
            self.add(pointer, "Must be a whole number.", "not_an_integer")
        elif not least <= value <= most:
            self.add(pointer, f"Must be from {least} to {most}.", "out_of_range")
        else:
            return int(value)
        return default

    def number(self, value: Any, pointer: str, *, default: float, least: float, most: float) -> float:
        """A number from `least` to `most`."""
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.add(pointer, "Must be a number.", "not_a_number")
        elif not least <= value <= most:
            self.add(pointer, f"Must be from {least:g} to {most:g}.", "out_of_range")
        else:
            return float(value)
        return default

    def boolean(self, value: Any, pointer: str, *, default: bool) -> bool:
        if value is None:
            return default
        if not isinstance(value, bool):
            self.add(pointer, "Must be true or false.", "not_a_boolean")
            return default
        return value

    def choice(
        self,
        value: Any,
        pointer: str,
        *,
        default: str,
        choices: Collection[str],
        code: str = "invalid_choice",
    ) -> str:
        """One of a few strings."""
        if value is None:
            return default
        if not isinstance(value, str):
            self.add(pointer, "Must be a string.", "not_a_string")
        elif value not in choices:
            self.add(pointer, f"`{value[:60]}` is none of: {', '.join(choices)}.", code)
        else:
            return value
        return default

    def texts(
        self, value: Any, pointer: str, *, default: tuple[str, ...], most: int, longest: int
    ) -> tuple[str, ...]:
        """A list of strings that are not empty."""
        if value is None:
            return default
        items = self.sequence(value, pointer, most=most)
        return tuple(
            self.text(item, f"{pointer}/{index}", least=1, most=longest)
            if item is not None
            else self.missing(f"{pointer}/{index}")
            for index, item in enumerate(items)
        )

    def language(self, value: Any, pointer: str, *, default: str) -> str:
        """A language tag (BCP 47), such as `en-US`."""
        text = self.text(value, pointer, default=default, least=1, most=35)
        if text and LANGUAGE.fullmatch(text) is None:
            self.add(pointer, "Must be a language tag such as `en-US`.", "invalid_language")
            return default
        return text or default

    def missing(self, pointer: str) -> str:
        """A null where a text must be."""
        self.add(pointer, "Must be a string.", "not_a_string")
        return ""


def escape(part: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")


def is_phone_number(text: str) -> bool:
    """Whether a text is an E.164 number: a plus sign and 6 to 15 digits."""
    return PHONE.fullmatch(text) is not None
