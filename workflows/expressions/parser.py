"""Tokens into a tree.

or         and ("or" and)*
and        not ("and" not)*
not        "not" not | comparison
comparison sum (("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in") sum)?
sum        product (("+" | "-") product)*
product    unary (("*" | "/" | "%") unary)*
unary      "-" unary | postfix
postfix    primary ("." name | "[" or "]")*
primary    number | text | "true" | "false" | "null" | name | name "(" arguments ")" | "(" or ")" | "[" items "]"
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeVar, cast

from .functions import FUNCTIONS
from .tokens import Token, tokenize, unquote
from .tree import Binary, BinaryOperator, Call, Each, List_, Literal_, Logical, Member, Name, Node, Unary
from .values import ExpressionError, number

DEEPEST: Final = 32
LARGEST: Final = 200  # nodes of the tree; a chain of operators is as deep as it is long

_N = TypeVar("_N", bound=Node)
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_RESERVED: Final = frozenset({"and", "or", "not", "in", "for", *_CONSTANTS})
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Expression:
    """A readable expression. `paths` are the names and paths it looks at, as far as they are constant."""

    source: str
    tree: Node

    @property
    def paths(self) -> tuple[tuple[str | int, ...], ...]:
        return tuple(_paths(self.tree, frozenset()))


@lru_cache(maxsize=1024)
def parse(source: str) -> Expression:
    """Read an expression. Raises `ExpressionError` with the position of what is wrong."""
    return Expression(source, _Parser(source).whole())


class _Parser:
    def __init__(self, source: str) -> None:
        self._tokens = tokenize(source)
        self._index = 0
        self._depth = 0
        self._size = 0

    def whole(self) -> Node:
        if self._now.kind == "end":
            raise ExpressionError("The expression is empty.")
        tree = self._or()
        rest = self._now
        if rest.kind != "end":
            raise ExpressionError(f"{rest.text!r} is unexpected.", rest.position)
        return tree

    @property
    def _now(self) -> Token:
        return self._tokens[self._index]

    def _next(self) -> Token:
        token = self._tokens[self._index]
        self._index = min(self._index + 1, len(self._tokens) - 1)
        return token

    def _is(self, *texts: str) -> bool:
        return self._now.kind in ("mark", "name") and self._now.text in texts

    def _take(self, *texts: str) -> bool:
        if self._is(*texts):
            self._next()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            found = repr(self._now.text) if self._now.kind != "end" else "the end"
            raise ExpressionError(f"{text!r} is expected here, not {found}.", self._now.position)

    def _made(self, node: _N) -> _N:
        self._size += 1
        if self._size > LARGEST:
            raise ExpressionError(f"The expression has more than {LARGEST} parts.")
        return node

    def _deeper(self, rule: Callable[[], Node]) -> Node:
        """Follow a rule that may come back to itself."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(f"The expression is nested deeper than {DEEPEST}.", self._now.position)
        try:
            return rule()
        finally:
            self._depth -= 1

    def _or(self) -> Node:
        return self._deeper(self._or_flat)

    def _or_flat(self) -> Node:
        left = self._and()
        while self._take("or"):
            left = self._made(Logical("or", left, self._and()))
        return left

    def _and(self) -> Node:
        left = self._not()
        while self._take("and"):
            left = self._made(Logical("and", left, self._not()))
        return left

    def _not(self) -> Node:
        if self._take("not"):
            return self._made(Unary("not", self._deeper(self._not)))
        return self._comparison()

    def _comparison(self) -> Node:
        left = self._sum()
        position = self._now.position
        operator = ""
        if self._is(*_COMPARISONS, "in"):
            operator = self._next().text
        elif self._is("not"):
            self._next()
            self._expect("in")
            operator = "not in"
        if not operator:
            return left
        right = self._sum()
        if self._is(*_COMPARISONS, "in"):
            raise ExpressionError("Comparisons are joined by `and`, not chained.", self._now.position)
        return self._made(Binary(cast(BinaryOperator, operator), left, right, position))

    def _sum(self) -> Node:
        left = self._product()
        while self._is("+", "-"):
            token = self._next()
            left = self._made(Binary(cast(BinaryOperator, token.text), left, self._product(), token.position))
        return left

    def _product(self) -> Node:
        left = self._unary()
        while self._is("*", "/", "%"):
            token = self._next()
            left = self._made(Binary(cast(BinaryOperator, token.text), left, self._unary(), token.position))
        return left

    def _unary(self) -> Node:
        if self._take("-"):
            return self._made(Unary("-", self._deeper(self._unary)))
        return self._postfix()

    def _postfix(self) -> Node:
        node = self._primary()
        while self._is(".", "["):
            mark = self._next()
            if mark.text == ".":
                token = self._next()
                if token.kind == "name":
                    key: Node = Literal_(token.text)
                elif token.kind == "number" and token.text.isdigit():
                    key = Literal_(int(token.text))
                else:
                    raise ExpressionError("A name is expected after the dot.", token.position)
            else:
                key = self._or()
                self._expect("]")
            node = self._made(Member(node, key, mark.position))
        return node

    def _primary(self) -> Node:
        token = self._next()
        match token.kind:
            case "number":
                return self._made(Literal_(_number(token)))
            case "text":
                return self._made(Literal_(unquote(token)))
            case "name" if token.text in _CONSTANTS:
                return self._made(Literal_(_CONSTANTS[token.text]))
            case "name" if token.text not in _RESERVED:
                return self._call(token) if self._is("(") else self._made(Name(token.text, token.position))
            case "mark" if token.text == "(":
                inner = self._or()
                self._expect(")")
                return inner
            case "mark" if token.text == "[":
                return self._made(List_(tuple(self._until("]"))))
        found = repr(token.text) if token.kind != "end" else "the end"
        raise ExpressionError(f"A value is expected here, not {found}.", token.position)

    def _call(self, name: Token) -> Node:
        if name.text not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise ExpressionError(f"There is no function {name.text!r}; there are {known}.", name.position)
        self._expect("(")
        arguments: list[Node] = []
        for argument in self._until(")"):
            arguments.append(argument)
            if self._is("for"):
                return self._each(name, argument, len(arguments))
        fewest, most = FUNCTIONS[name.text].arity
        if not fewest <= len(arguments) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise ExpressionError(
                f"{name.text}() takes {wanted} arguments, not {len(arguments)}.", name.position
            )
        return self._made(Call(name.text, tuple(arguments), name.position))

    def _each(self, function: Token, test: Node, count: int) -> Node:
        if function.text not in ("any", "all") or count != 1:
            raise ExpressionError("`for` may stand in any() and all() only.", self._now.position)
        self._expect("for")
        name = self._next()
        if name.kind != "name" or name.text in _RESERVED:
            raise ExpressionError("A name is expected after `for`.", name.position)
        self._expect("in")
        items = self._or()
        self._expect(")")
        which: Literal["any", "all"] = "any" if function.text == "any" else "all"
        return self._made(Each(which, test, name.text, items, function.position))

    def _until(self, closing: str) -> Iterator[Node]:
        if self._take(closing):
            return
        while True:
            yield self._or()
            if self._take(closing):
                return
            self._expect(",")


def _number(token: Token) -> int | float:
    if token.text.isdigit():
        if len(token.text) > 19:
            raise ExpressionError("The number is too large.", token.position)
        return number(int(token.text))
    return number(float(token.text))


def _paths(node: Node, bound: frozenset[str]) -> Iterator[tuple[str | int, ...]]:
    match node:
        case Name():
            if node.name not in bound:
                yield (node.name,)
        case Member():
            path = _constant_path(node)
            if path is None:
                yield from _paths(node.of, bound)
                yield from _paths(node.key, bound)
            elif path[0] not in bound:
                yield path
        case List_():
            for item in node.items:
                yield from _paths(item, bound)
        case Unary():
            yield from _paths(node.operand, bound)
        case Binary() | Logical():
            yield from _paths(node.left, bound)
            yield from _paths(node.right, bound)
        case Call():
            for argument in node.arguments:
                yield from _paths(argument, bound)
        case Each():
            yield from _paths(node.items, bound)
            yield from _paths(node.test, bound | {node.name})


def _constant_path(node: Node) -> tuple[str | int, ...] | None:
    match node:
        case Name():
            return (node.name,)
        case Member(of=of, key=Literal_(value=key)) if isinstance(key, str | int):
            above = _constant_path(of)
            return None if above is None else (*above, key)
    return None
