"""A tree into a value."""

from collections.abc import Mapping
from typing import Any, Final

from .functions import FUNCTIONS
from .parser import Expression, parse
from .tree import Binary, Call, Each, List_, Literal_, Logical, Member, Name, Node, Unary
from .values import (
    ExpressionError,
    Value,
    contains,
    equal,
    is_number,
    is_true,
    kind_of,
    less,
    number,
    size_of,
    text,
)

MOST_STEPS: Final = 10_000
LONGEST_LIST: Final = 10_000
CHARACTERS_A_STEP: Final = 100  # what looking at a value costs
# What may be absent without an error, for these functions are how an expression asks.
_TOLERANT: Final = frozenset({"default", "exists"})
_CHEAP: Final = _TOLERANT | {"len"}  # whatever the size of what they are given


class Budget:
    """The steps that are left to one expression, or to all those of a template together."""

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self.steps = steps

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise ExpressionError(f"It takes more than {MOST_STEPS} steps.")


def evaluate(
    expression: Expression | str,
    scope: Mapping[str, Value],
    *,
    strict: bool = False,
    budget: Budget | None = None,
) -> Value:
    """Return the value of an expression over `scope`, a mapping of names to JSON values.

    A path that is not there is null; with `strict` it is an error, except in default() and exists(). Raises
    `ExpressionError` and nothing else, and ends after a bounded number of steps.
    """
    parsed = parse(expression) if isinstance(expression, str) else expression
    try:
        return _Evaluation(scope, strict, budget or Budget()).value(parsed.tree)
    except RecursionError:
        raise ExpressionError("The values are nested too deeply.") from None


class _Evaluation:
    def __init__(self, scope: Mapping[str, Value], strict: bool, budget: Budget) -> None:
        self._scope = scope
        self._strict = strict
        self._budget = budget

    def value(self, node: Node) -> Value:
        self._budget.spend(1)
        match node:
            case Literal_():
                return node.value
            case Name():
                return self._name(node)
            case Member():
                return self._member(node)
            case List_():
                return [self.value(item) for item in node.items]
            case Unary(operator="not"):
                return not is_true(self.value(node.operand))
            case Unary():
                return self._negative(self.value(node.operand))
            case Logical():
                left = self.value(node.left)
                return self.value(node.right) if is_true(left) == (node.operator == "and") else left
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node)
            case Each():
                return self._each(node)

    def _look_at(self, *values: Value) -> None:
        """Pay for work that grows with values."""
        for value in values:
            if isinstance(value, str | list | tuple | Mapping):
                most = self._budget.steps * CHARACTERS_A_STEP
                self._budget.spend(-(-size_of(value, most) // CHARACTERS_A_STEP))

    def _name(self, node: Name) -> Value:
        if node.name in self._scope:
            return self._scope[node.name]
        if self._strict:
            raise ExpressionError(
                f"There is no {node.name!r}; there are {_listed(self._scope)}.", node.position
            )
        return None

    def _member(self, node: Member) -> Value:
        of, key = self.value(node.of), self.value(node.key)
        found, there = _look_up(of, key)
        if not there and self._strict:
            raise ExpressionError(f"There is no {key!r} in {kind_of(of)}{_offer(of)}.", node.position)
        return found

    @staticmethod
    def _negative(value: Value) -> Value:
        if not is_number(value):
            raise ExpressionError(f"{kind_of(value)} has no negative.")
        return -value

    def _binary(self, node: Binary) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if not (isinstance(left, int | float | None) and isinstance(right, int | float | None)):
            self._look_at(*((right,) if node.operator in ("in", "not in") else (left, right)))
        match node.operator:
            case "==":
                return equal(left, right)
            case "!=":
                return not equal(left, right)
            case "<":
                return less(left, right)
            case ">":
                return less(right, left)
            case "<=":
                return less(left, right) or (left is not None and equal(left, right))
            case ">=":
                return less(right, left) or (left is not None and equal(left, right))
            case "in" | "not in":
                return contains(right, left) == (node.operator == "in")
        return self._arithmetic(node, left, right)

    def _arithmetic(self, node: Binary, left: Value, right: Value) -> Value:
        if node.operator == "+":
            if isinstance(left, str) and isinstance(right, str):
                return text(left + right)
            if isinstance(left, list) and isinstance(right, list):
                if len(left) + len(right) > LONGEST_LIST:
                    raise ExpressionError(f"The list has more than {LONGEST_LIST} items.", node.position)
                return left + right
        if not (is_number(left) and is_number(right)):
            raise ExpressionError(
                f"{node.operator} does not work on {kind_of(left)} and {kind_of(right)}.", node.position
            )
        try:
            match node.operator:
                case "+":
                    return number(left + right)
                case "-":
                    return number(left - right)
                case "*":
                    return number(left * right)
                case "/":
                    return number(left / right)
                case _:
                    return number(left % right)
        except ZeroDivisionError:
            raise ExpressionError("Nothing can be divided by zero.", node.position) from None
        except OverflowError:
            raise ExpressionError("The number is too large.", node.position) from None

    def _call(self, node: Call) -> Value:
        strict, self._strict = self._strict, self._strict and node.function not in _TOLERANT
        try:
            arguments = [self.value(argument) for argument in node.arguments]
        finally:
            self._strict = strict
        if node.function not in _CHEAP:
            self._look_at(*arguments)
        try:
            return FUNCTIONS[node.function].call(*arguments)
        except ExpressionError as error:
            raise (
                error if error.position is not None else ExpressionError(str(error), node.position)
            ) from None
        except (ValueError, OverflowError, RecursionError):
            raise ExpressionError(f"{node.function}() cannot work on this value.", node.position) from None

    def _each(self, node: Each) -> bool:
        items = self.value(node.items)
        if items is None:
            items = []
        if not isinstance(items, list | tuple):
            raise ExpressionError(f"`for` takes a list, not {kind_of(items)}.", node.position)
        outside = self._scope
        try:
            for item in items:
                self._scope = {**outside, node.name: item}
                if is_true(self.value(node.test)) == (node.function == "any"):
                    return node.function == "any"
        finally:
            self._scope = outside
        return node.function == "all"


def _look_up(of: Value, key: Value) -> tuple[Any, bool]:
    """Return what is there and whether it is: keys of objects and places of lists, nothing else."""
    if isinstance(of, Mapping) and isinstance(key, str) and key in of:
        return of[key], True
    if isinstance(of, list | tuple) and isinstance(key, int) and not isinstance(key, bool):
        there = -len(of) <= key < len(of)
        return (of[key] if there else None), there
    return None, False


def _listed(scope: Mapping[str, Value]) -> str:
    return ", ".join(sorted(scope)[:12]) or "no names"


def _offer(value: Value) -> str:
    return f" with {_listed(value)}" if isinstance(value, Mapping) and value else ""
