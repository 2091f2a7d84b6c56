"""The functions that expressions may call: name, how many arguments, what it does."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .values import LONGEST_TEXT, ExpressionError, Value, is_number, is_true, kind_of, number, size_of, text


@dataclass(frozen=True, slots=True)
class Function:
    """What it does, and how many arguments it takes, at least and at most."""

    arity: tuple[int, int]
    call: Callable[..., Value]


def as_text(value: Value) -> str:
    """A value as people read it: text as it is, the others as JSON."""
    if isinstance(value, str):
        return value
    if size_of(value, LONGEST_TEXT) > LONGEST_TEXT:
        raise ExpressionError(f"The text is longer than {LONGEST_TEXT} characters.")
    try:
        return text(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        raise ExpressionError("The value is nested too deeply.") from None
    except (TypeError, ValueError):
        raise ExpressionError("The value is none that JSON knows.") from None


def _length(value: Value) -> int:
    if value is None:
        return 0
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise ExpressionError(f"{kind_of(value)} has no length.")


def _text(value: Value, function: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise ExpressionError(f"{function}() takes text, not {kind_of(value)}.")


def _items(value: Value, function: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return list(value)
    raise ExpressionError(f"{function}() takes a list, not {kind_of(value)}.")


def _numbers(values: tuple[Value, ...], function: str) -> list[int | float]:
    found = _items(values[0], function) if len(values) == 1 and not is_number(values[0]) else list(values)
    if not found or not all(is_number(one) for one in found):
        raise ExpressionError(f"{function}() takes numbers.")
    return found


def _number(value: Value) -> int | float:
    if is_number(value):
        return number(value)
    if isinstance(value, str) and len(value) < 40:
        try:
            return number(int(value) if value.strip().lstrip("+-").isdigit() else float(value))
        except ValueError:
            pass
    raise ExpressionError(
        f"number() cannot read {kind_of(value)}{f' {value!r}' if isinstance(value, str) else ''}."
    )


def _round(value: Value, digits: Value = 0) -> int | float:
    if (
        not is_number(value)
        or not isinstance(digits, int)
        or isinstance(digits, bool)
        or not 0 <= digits <= 12
    ):
        raise ExpressionError("round() takes a number, and how many digits from 0 to 12.")
    rounded: int | float = round(value, digits) if digits else round(value)
    return rounded


def _sum(*values: Value) -> int | float:
    found = _items(values[0], "sum")
    return number(sum(_numbers((found,), "sum"))) if found else 0


def _absolute(value: Value) -> int | float:
    if not is_number(value):
        raise ExpressionError(f"abs() takes a number, not {kind_of(value)}.")
    return abs(value)  # type: ignore[no-any-return]


def _join(items: Value, separator: Value = ", ") -> str:
    between, size, texts = _text(separator, "join"), 0, []
    for item in _items(items, "join"):
        texts.append(as_text(item))
        size += len(texts[-1]) + len(between)
        if size > LONGEST_TEXT + len(between):
            break
    return text(between.join(texts))


def _keys(value: Value) -> list[str]:
    if isinstance(value, Mapping):
        return list(value)
    raise ExpressionError(f"keys() takes an object, not {kind_of(value)}.")


def _default(value: Value, other: Value) -> Value:
    return other if value is None or value == "" else value


FUNCTIONS: Final[Mapping[str, Function]] = {
    "len": Function((1, 1), _length),
    "lower": Function((1, 1), lambda value: text(_text(value, "lower").lower())),
    "upper": Function((1, 1), lambda value: text(_text(value, "upper").upper())),
    "trim": Function((1, 1), lambda value: _text(value, "trim").strip()),
    "starts_with": Function(
        (2, 2), lambda value, part: _text(value, "starts_with").startswith(_text(part, "starts_with"))
    ),
    "ends_with": Function(
        (2, 2), lambda value, part: _text(value, "ends_with").endswith(_text(part, "ends_with"))
    ),
    "join": Function((1, 2), _join),
    "keys": Function((1, 1), _keys),
    "any": Function((1, 1), lambda items: any(is_true(item) for item in _items(items, "any"))),
    "all": Function((1, 1), lambda items: all(is_true(item) for item in _items(items, "all"))),
    "min": Function((1, 20), lambda *values: min(_numbers(values, "min"))),
    "max": Function((1, 20), lambda *values: max(_numbers(values, "max"))),
    "sum": Function((1, 1), _sum),
    "abs": Function((1, 1), _absolute),
    "round": Function((1, 2), _round),
    "number": Function((1, 1), _number),
    "text": Function((1, 1), as_text),
    "json": Function((1, 1), as_text),
    "default": Function((2, 2), _default),
    "exists": Function((1, 1), lambda value: value is not None),
}
