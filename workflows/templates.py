"""Texts with `{{ expression }}` in them, and JSON values made of such texts. Pure.

A text that is nothing but one placeholder becomes the value itself, of whatever kind; in a longer text, values
are written as text, the others as JSON. There is no other syntax: no loops, no filters, no includes.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from .expressions import Expression, ExpressionError, evaluate, parse
from .expressions.evaluation import Budget
from .expressions.functions import as_text
from .expressions.values import size_of, text

DEEPEST: Final = 32
MOST_PLACEHOLDERS: Final = 200
LONGEST_TEMPLATE: Final = 100_000  # characters of one text
LARGEST_VALUE: Final = 1024 * 1024  # characters of what is made of it, as JSON
MOST_STEPS: Final = 100_000  # of all its expressions together
_LONGEST_KEPT: Final = 4_000


def parse_template(source: str) -> tuple[str | Expression, ...]:
    """Part a template into texts and expressions. Raises `ExpressionError`."""
    if len(source) > LONGEST_TEMPLATE:
        raise ExpressionError(f"The template is longer than {LONGEST_TEMPLATE} characters.")
    return _parse_kept(source) if len(source) <= _LONGEST_KEPT else _parse(source)


def _parse(source: str) -> tuple[str | Expression, ...]:
    parts: list[str | Expression] = []
    position = 0
    while (start := source.find("{{", position)) >= 0:
        end = source.find("}}", start)
        if end < 0:
            raise ExpressionError("A {{ is not closed by }}.", start)
        if start > position:
            parts.append(source[position:start])
        try:
            parts.append(parse(source[start + 2 : end].strip()))
        except ExpressionError as error:
            raise ExpressionError(f"In {source[start : end + 2]!r}: {error}") from None
        if len(parts) > MOST_PLACEHOLDERS * 2:
            raise ExpressionError(f"The template has more than {MOST_PLACEHOLDERS} placeholders.")
        position = end + 2
    if position < len(source) or not parts:
        parts.append(source[position:])
    return tuple(parts)


_parse_kept = lru_cache(maxsize=2048)(_parse)


def render(template: Any, scope: Mapping[str, Any]) -> Any:
    """Fill a template, or every text of a JSON value, from `scope`. A path that is not there is an error.

    Raises `ExpressionError` and nothing else; what is made is bounded, and so is the work.
    """
    made = _render(template, scope, Budget(MOST_STEPS), 0)
    if size_of(made, LARGEST_VALUE) > LARGEST_VALUE:
        raise ExpressionError(f"What the template makes is longer than {LARGEST_VALUE} characters.")
    return made


def _render(template: Any, scope: Mapping[str, Any], budget: Budget, depth: int) -> Any:
    if depth > DEEPEST:
        raise ExpressionError(f"The template is nested deeper than {DEEPEST}.")
    match template:
        case str():
            return _render_text(template, scope, budget)
        case Mapping():
            return {key: _render(value, scope, budget, depth + 1) for key, value in template.items()}
        case list() | tuple():
            return [_render(value, scope, budget, depth + 1) for value in template]
    return template


def _render_text(source: str, scope: Mapping[str, Any], budget: Budget) -> Any:
    parts = parse_template(source)
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return evaluate(parts[0], scope, strict=True, budget=budget)
    filled: list[str] = []
    size = 0
    for part in parts:
        piece = part if isinstance(part, str) else as_text(evaluate(part, scope, strict=True, budget=budget))
        size += len(piece)
        filled.append(piece)
        if size > 2 * 256 * 1024:
            break
    return text("".join(filled))


def expressions_of(template: Any, depth: int = 0) -> Iterator[Expression]:
    """Every expression that a template looks at. Raises `ExpressionError` for one that cannot be read."""
    if depth > DEEPEST:
        raise ExpressionError(f"The template is nested deeper than {DEEPEST}.")
    match template:
        case str():
            yield from (part for part in parse_template(template) if isinstance(part, Expression))
        case Mapping():
            for value in template.values():
                yield from expressions_of(value, depth + 1)
        case list() | tuple():
            for value in template:
                yield from expressions_of(value, depth + 1)
