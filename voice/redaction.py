"""Takes telephone numbers, payment card numbers and e-mail addresses out of what is kept of a call. Pure.

Transcripts hold them as people say them, too: "five five five one two three four", "ann at example dot com".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

CARD = "[card number]"
PHONE = "[telephone number]"
EMAIL = "[e-mail address]"

_EMAIL = re.compile(r"\b[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+")
_SPOKEN_EMAIL = re.compile(
    r"\b\w+(?:(?: (?:dot|dash|underscore) |[.\-_])\w+){0,4} at \w+(?:[ \-]\w+)?(?: dot \w{2,12}){1,3}\b",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<![\w.])\+?\(?\d(?:[\s().\-/]{0,3}\d){6,18}(?!\w)")
_DATE = re.compile(r"(?:19|20)\d\d[\-/.]\d\d?[\-/.]\d\d?|\d\d?[\-/.]\d\d?[\-/.](?:19|20)\d\d")
_DIGIT_WORD = r"(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple|\d)"
_SPOKEN_DIGITS = re.compile(rf"\b(?:plus )?{_DIGIT_WORD}(?:[\s,\-]+{_DIGIT_WORD}){{6,}}\b", re.IGNORECASE)
_MAX_DEPTH = 8


def redact(text: str) -> str:
    """Return the text with what identifies a person by number or address replaced by what it was."""
    text = _EMAIL.sub(EMAIL, text)
    text = _DIGITS.sub(_number, text)
    text = _SPOKEN_DIGITS.sub(_spoken_number, text)
    return _SPOKEN_EMAIL.sub(EMAIL, text)


def redact_value(value: Any, depth: int = 0) -> Any:
    """`redact` every string inside mappings and sequences; what is nested deeper than that is dropped."""
    if isinstance(value, str):
        return redact(value)
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {key: redact_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [redact_value(item, depth + 1) for item in value]
    return value


def mask_number(number: str) -> str:
    """A telephone number or SIP address of which nobody can call back: `+1500…06`."""
    return f"{number[:5]}…{number[-2:]}" if len(number) > 8 else "…" if number else ""


def _number(match: "re.Match[str]") -> str:
    text = match[0]
    if _DATE.fullmatch(text):
        return text
    digits = [int(char) for char in text if char.isdigit()]
    return CARD if len(digits) >= 13 and _passes_luhn(digits) else PHONE


def _spoken_number(match: "re.Match[str]") -> str:
    return CARD if len(re.findall(_DIGIT_WORD, match[0], re.IGNORECASE)) >= 13 else PHONE


def _passes_luhn(digits: Sequence[int]) -> bool:
    """The check digit of payment cards."""
    doubled = [
        digit if place % 2 == 0 else sum(divmod(2 * digit, 10))
        for place, digit in enumerate(reversed(digits))
    ]
    return sum(doubled) % 10 == 0
