"""The tree of an expression."""

from dataclasses import dataclass
from typing import Any, Literal

BinaryOperator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "%"]


@dataclass(frozen=True, slots=True)
class Literal_:
    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Member:
    """`of.key`, `of["key"]` or `of[0]`."""

    of: "Node"
    key: "Node"
    position: int


@dataclass(frozen=True, slots=True)
class List_:
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Unary:
    operator: Literal["not", "-"]
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    operator: BinaryOperator
    left: "Node"
    right: "Node"
    position: int


@dataclass(frozen=True, slots=True)
class Logical:
    operator: Literal["and", "or"]
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple["Node", ...]
    position: int


@dataclass(frozen=True, slots=True)
class Each:
    """`any(test for name in items)`, or `all`."""

    function: Literal["any", "all"]
    test: "Node"
    name: str
    items: "Node"
    position: int


Node = Literal_ | Name | Member | List_ | Unary | Binary | Logical | Call | Each
