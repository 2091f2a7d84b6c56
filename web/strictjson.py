"""JSON that is safe to hand on: shallow, finite, without repeated members, NUL or lone surrogates. Pure.

PostgreSQL's jsonb refuses NUL and lone surrogates, Python's parser overflows its stack on deep nesting,
and both only when it is too late for a clear answer.
"""

import json
import math
import re
from typing import Any

MAX_DEPTH = 64
_MAX_DIGITS = 18  # every integer of a JSON body fits 64 bits

# Possessive, and with an end that always matches, so that the scan is linear whatever the body is.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_BAD_CHARACTER = re.compile("[\x00\ud800-\udfff]")


class MalformedJson(ValueError):
    """The text is not JSON."""


class BadJson(ValueError):
    """The text is JSON that is not accepted; `pointer` is the place."""

    def __init__(self, pointer: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.code = code
        self.detail = detail


class _Repeated(dict[str, Any]):
    """An object in which `member` came twice."""

    member = ""


def parse(body: bytes) -> Any:
    """Return the value of a JSON body, or raise `MalformedJson` or `BadJson`."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson(f"Byte {error.start} is not UTF-8.") from error
    if too_deep(text):
        raise BadJson("", "too_deep", f"Nested deeper than {MAX_DEPTH} levels.")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except ValueError as error:
        raise MalformedJson(f"{error}.") from error
    _check(value)
    return value


def too_deep(text: str, limit: int = MAX_DEPTH) -> bool:
    """Whether brackets outside of strings nest deeper than `limit`; never recursive."""
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for match in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if match[0] in "[{" else -1
        if depth > limit:
            return True
    return False


def escape(part: str | int) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    repeated = _Repeated(value)
    for name, _ in pairs:
        if name in seen:
            repeated.member = name
        seen.add(name)
    return repeated


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits.lstrip("-")) <= _MAX_DIGITS else math.inf


def _check(root: Any) -> None:
    """Walk the value without recursion; pointers are only spelled out for what is wrong."""
    pending: list[tuple[Any, tuple[Any, ...]]] = [(root, ())]
    while pending:
        value, path = pending.pop()
        if isinstance(value, str):
            if _BAD_CHARACTER.search(value):
                _refuse(path, "bad_character", "Holds a NUL character or a lone surrogate.")
        elif isinstance(value, float):
            if not math.isfinite(value):
                _refuse(path, "bad_number", "Not a finite number that fits 64 bits.")
        elif isinstance(value, dict):
            if isinstance(value, _Repeated):
                _refuse((*path, value.member), "repeated_member", "Given more than once.")
            for name, member in value.items():
                if _BAD_CHARACTER.search(name):
                    _refuse(
                        path, "bad_character", "A member's name holds a NUL character or a lone surrogate."
                    )
                pending.append((member, (*path, name)))
        elif isinstance(value, list):
            pending.extend((item, (*path, index)) for index, item in enumerate(value))


def _refuse(path: tuple[Any, ...], code: str, detail: str) -> None:
    # A repeated member may itself carry a surrogate: the pointer must still be encodable.
    pointer = "".join(f"/{escape(part)}" for part in path).encode("utf-8", "replace").decode()
    raise BadJson(pointer, code, detail)
