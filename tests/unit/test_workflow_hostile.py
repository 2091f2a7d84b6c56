"""What strangers write into conditions, templates and graphs costs little and reaches nothing, whatever it is."""

import contextlib
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from workflows.expressions import ExpressionError, evaluate, parse
from workflows.templates import LARGEST_VALUE, LONGEST_TEMPLATE, expressions_of, render
from workflows.validation import validate

MEGABYTE = 1024 * 1024
SEEDS = (
    "context.last_output.score > 0.7 and not input.count == 4",
    "any(item.score < 0.5 for item in input.items)",
    "all(x['a b'][-1] in [1, 2.5e3, 'q\\'s'] for x in nodes.draft.output)",
    "round(number('2.345'), 1) + sum([1, 2, 3]) * -max(6, 2) % 7",
    'default(exists(input.nope), join(keys(input), "/")) or null',
    "Dear {{ input.name }}: {{ json(input.tags) }} {{ nodes.draft.output.text }}",
)
WORDS = (
    *(b"{{", b"}}", b"((((", b"]]]]", b"for x in", b"__class__", b"__globals__", b".format", b"%s", b"{0.__class__}"),
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", "\u202e".encode(), b"9" * 40, b"1e999", b"-" * 40, b"'" * 9, b"\\" * 9),
    *(b"any(any(", b"input", b"x", b"not " * 9, b"a.b" * 9, b"[0]" * 9, b"json(", b"text(", b"+ input.big "),
)  # fmt: skip
SCOPE: dict[str, Any] = {
    "input": {
        "name": "Ann",
        "count": 3,
        "items": [{"score": 0.9}, {"score": None}],
        "tags": ["a"],
        "big": "x" * MEGABYTE,
    },
    "nodes": {"draft": {"output": [{"a b": [1]}, {}, None, True, -0.0, 2**62]}},
    "context": {"last_output": {"score": 0.8}},
    "x": [[[]]],
}


def mutate(seed: bytes, dice: random.Random) -> bytes:
    """Change some bytes: flipped, cut out, repeated, mixed up, or hostile words put in."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, 8)):
        at, to = sorted((dice.randint(0, len(data)), dice.randint(0, len(data))))
        match dice.randint(0, 5):
            case 0 if data:
                data[at % len(data)] ^= 1 << dice.randint(0, 7)
            case 1:
                del data[at:to]
            case 2:
                data[at:at] = data[at:to] * dice.randint(1, 20)
            case 3:
                data[at:at] = dice.choice(WORDS)
            case 4:
                other = dice.choice(SEEDS).encode()
                data[at:to] = other[dice.randint(0, len(other)) :]
            case 5:
                data[at:at] = dice.randbytes(dice.randint(1, 6))
    return bytes(data[:5000])


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_bytes_raise_nothing_but_our_error(seed: str) -> None:
    dice, corpus = random.Random(seed), [seed.encode()]
    for _ in range(3000):
        data = mutate(dice.choice(corpus), dice)
        source = data.decode("utf-8", errors=dice.choice(("replace", "surrogateescape", "ignore")))
        work: tuple[Callable[[], Any], ...] = (
            lambda source=source: evaluate(source, SCOPE),  # type: ignore[misc]
            lambda source=source: evaluate(source, SCOPE, strict=True),  # type: ignore[misc]
            lambda source=source: render({"a": [source]}, SCOPE),  # type: ignore[misc]
            lambda source=source: list(expressions_of(source)),  # type: ignore[misc]
        )
        for run in work:
            with contextlib.suppress(ExpressionError):
                run()
                if len(corpus) < 200:
                    corpus.append(data)  # what can be read is where to go on from


def exhausting(depth: int, width: int) -> Any:
    """A value that is small here and huge as JSON: the same list again and again."""
    value: Any = ["x" * 100]
    for _ in range(depth):
        value = [value] * width
    return value


LONG = [{"v": number} for number in range(5000)]
HOSTILE = {
    "text of a shared structure": ("json(input.shared)", {"shared": exhausting(40, 2)}),
    "comparing shared structures": (
        "input.shared == input.other",
        {"shared": exhausting(40, 2), "other": exhausting(40, 2)},
    ),
    "looking into one": ("[1] in input.shared", {"shared": exhausting(3, 200)}),
    "many texts of a large object": (
        "all(len(json(input.big)) > 0 for x in input.xs)",
        {"xs": LONG, "big": {"t": "x" * 200_000}},
    ),
    "many comparisons of large objects": (
        "any(input.big != input.big for x in input.xs)",
        {"xs": LONG, "big": exhausting(2, 50)},
    ),
    "lists that grow": ("any(len(input.xs + input.xs) == 0 for x in input.xs)", {"xs": LONG}),
    "joining a list of large objects": ("len(join(input.xs))", {"xs": [{"t": "x" * 200_000}] * 3000}),
    "a product of loops": (
        "any(any(any(a.v + b.v + c.v < 0 for a in input.xs) for b in input.xs) for c in input.xs)",
        {"xs": LONG[:300]},
    ),
    "texts that double": ("+".join(["input.t"] * 60), {"t": "x" * 20_000}),
    "searching with a repetitive needle": (
        "any(input.needle in input.hay for x in input.xs)",
        {"needle": "a" * 9_000 + "b", "hay": "a" * 200_000, "xs": LONG},
    ),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", HOSTILE)
def test_it_gives_up_on_what_would_take_long_or_fill_the_memory(case: str) -> None:
    source, given = HOSTILE[case]
    tracemalloc.start()
    try:
        with pytest.raises(ExpressionError):
            evaluate(source, {"input": given})
        assert tracemalloc.get_traced_memory()[1] < 32 * MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "template",
    [
        ["{{ input.t }}"] * 2000,
        {"a": "{{ input.shared }}"},
        {f"k{number}": "{{ any(x.v < 0 for x in input.xs) }}" for number in range(2000)},
        "{{ input.t }}" * 150,
        "{{ 1 }}" * 1000,
        "x" * (LONGEST_TEMPLATE + 1),
        "{{" * 40_000,
        ["{{ '" + "x" * 1900 + f"{number}' }}}}" for number in range(2000)],
    ],
    ids=lambda template: str(template)[:24],
)
def test_it_gives_up_on_templates_that_make_too_much(template: Any) -> None:
    given = {"t": "x" * 100_000, "shared": exhausting(40, 2), "xs": LONG}
    with pytest.raises(ExpressionError):
        render(template, {"input": given})


def test_it_makes_what_is_large_but_not_too_large() -> None:
    given = {"t": "x" * (LARGEST_VALUE - 100)}
    assert render("{{ input.t }}", {"input": given}) == given["t"]
    assert len(render({"a": "{{ input }}"}, {"input": LONG})["a"]) == len(LONG)


@pytest.mark.parametrize(
    "source",
    [
        "input.__class__", "input['__class__']", "''.__class__.__mro__", "input.items.__getitem__", "keys.__globals__",
        "len.__self__", "input.name.format", "('{0.__class__}').format", "input.name % input", "'%s' % 'x'",
        "any(x.__class__ for x in [1, '', input])", "nodes.draft.output.__len__", "input.get", "input['get']",
        "input.tags.append", "input.tags['append']", "(1).__class__", "true.real", "null.__doc__", "input[input]",
        "input[null]", "input[true]", "input.tags[true]", "input.tags['0']", "input.tags[0.0]",
    ],
)  # fmt: skip
def test_it_finds_nothing_behind_the_values(source: str) -> None:
    with contextlib.suppress(ExpressionError):
        assert evaluate(source, SCOPE) in (None, False)
    with pytest.raises(ExpressionError):
        render(f"{{{{ {source} }}}}", SCOPE)


def test_format_strings_are_text() -> None:
    hostile = "{0.__class__.__init__.__globals__} %(x)s ${HOME} {{ input.name }"
    assert render("{{ input.t }}!", {"input": {"t": hostile}}) == f"{hostile}!"
    assert render("{{ input.t }}", {"input": {"t": "{{ run.id }}"}}) == "{{ run.id }}", "filled once"


def test_reading_is_bounded() -> None:
    for source in (
        "(" * 900 + "1" + ")" * 900,
        "[" * 900,
        "not " * 400 + "1",
        "a" + ".b" * 900,
        "a" + "[0]" * 600,
    ):
        with pytest.raises(ExpressionError):
            parse(source)


def loops(count: int) -> dict[str, Any]:
    """Every node a loop, and all lead back to all that the limits allow."""
    ids = ["start", *(f"n{number}" for number in range(count)), "end"]
    nodes = [{"id": "start", "type": "start"}, {"id": "end", "type": "end"}]
    nodes += [{"id": id_, "type": "loop", "config": {"max_rounds": 2}} for id_ in ids[1:-1]]  # type: ignore[dict-item]
    ways = [(a, b) for step in (1, 2, 3) for a, b in zip(ids, ids[step:], strict=False)]
    ways += [(ids[-2], id_) for id_ in ids[1:-1]]
    edges = [
        {"id": f"e{number}", "from_node_id": a, "to_node_id": b, "label": "body" if a != ids[-2] else ""}
        for number, (a, b) in enumerate(ways)
    ]
    return {"nodes": nodes, "edges": edges[:2000]}


@pytest.mark.timeout(20)
def test_a_graph_of_nothing_but_loops_is_refused_soon() -> None:
    assert validate(loops(498))[1]
