"""Text into tokens."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from .values import ExpressionError

LONGEST_SOURCE: Final = 2000

TokenKind = Literal["number", "text", "name", "mark", "end"]

# Each alternative begins with another character and repeats one class: nothing to backtrack over.
_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<mark>==|!=|<=|>=|[-<>+*/%()\[\],.])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: TokenKind
    text: str
    position: int


def tokenize(source: str) -> list[Token]:
    """Cut a source into tokens; the last is `end`. Raises `ExpressionError`."""
    if len(source) > LONGEST_SOURCE:
        raise ExpressionError(f"The expression is longer than {LONGEST_SOURCE} characters.")
    tokens: list[Token] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            shown = "A text that is not closed" if source[position] in "\"'" else repr(source[position])
            raise ExpressionError(f"{shown} means nothing here.", position)
        kind = match.lastgroup
        if kind != "space":
            tokens.append(Token(kind, match.group(), position))  # type: ignore[arg-type]
        position = match.end()
    tokens.append(Token("end", "", len(source)))
    return tokens


def unquote(token: Token) -> str:
    """The text that a quoted token stands for."""
    inner = token.text[1:-1]
    if "\\" not in inner:
        return inner
    parts: list[str] = []
    index = 0
    while index < len(inner):
        character = inner[index]
        if character == "\\":
            index += 1
            if inner[index] not in _ESCAPES:
                raise ExpressionError(f"\\{inner[index]} is no escape.", token.position + index)
            character = _ESCAPES[inner[index]]
        parts.append(character)
        index += 1
    return "".join(parts)
