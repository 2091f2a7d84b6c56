"""JSON values as expressions see them: their names, truth, equality, order, and the one error."""

from collections.abc import Mapping
from typing import Any, Final

Value = Any  # None, bool, int, float, str, list or dict of the same

LARGEST_NUMBER: Final = 2**63
LONGEST_TEXT: Final = 256 * 1024


class ExpressionError(ValueError):
    """An expression cannot be read or evaluated. `position` is the character at which it shows, or None."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message if position is None else f"{message} (at character {position + 1})")
        self.position = position


def kind_of(value: Value) -> str:
    """The name of a value's kind, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
    raise ExpressionError("The value is none that JSON knows.")


def size_of(value: Value, most: int) -> int:
    """About how many characters a value has as JSON; what is more than `most` is not counted to its end."""
    size, waiting = 0, [value]
    while waiting and size <= most:
        match waiting.pop():
            case str() as one:
                size += len(one) + 2
            case list() | tuple() as items:
                size += 2 + len(items)
                if size <= most:
                    waiting.extend(items)
            case Mapping() as pairs:
                size += 2 + sum(len(key) + 4 for key in pairs if isinstance(key, str))
                if size <= most:
                    waiting.extend(pairs.values())
            case _:
                size += 4
    return size


def is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_true(value: Value) -> bool:
    """Empty is false: null, false, 0, "", [], {}."""
    return bool(value)


def equal(left: Value, right: Value) -> bool:
    """JSON equality: 1 equals 1.0, but true is not 1."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    try:
        return bool(left == right)
    except RecursionError:
        raise ExpressionError("The values are nested too deeply to compare.") from None


def less(left: Value, right: Value) -> bool:
    """Order of two numbers or two texts; null is before nothing and after nothing."""
    if left is None or right is None:
        return False
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return bool(left < right)
    raise ExpressionError(f"{_capital(kind_of(left))} cannot be compared with {kind_of(right)}.")


def contains(container: Value, item: Value) -> bool:
    """Whether a list has an item, an object a key, or a text a part."""
    match container:
        case None:
            return False
        case str():
            if not isinstance(item, str):
                raise ExpressionError(f"{_capital(kind_of(item))} cannot be looked for in text.")
            return item in container
        case list() | tuple():
            return any(equal(one, item) for one in container)
        case Mapping():
            return isinstance(item, str) and item in container
    raise ExpressionError(f"Nothing can be looked for in {kind_of(container)}.")


def number(value: int | float) -> int | float:
    """Let a result pass that is finite and not huge; raises `ExpressionError` for others."""
    if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:  # false for NaN as well
        raise ExpressionError("The number is too large.")
    return value


def text(value: str) -> str:
    """Let a result pass that is not huge."""
    if len(value) > LONGEST_TEXT:
        raise ExpressionError(f"The text is longer than {LONGEST_TEXT} characters.")
    return value


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
