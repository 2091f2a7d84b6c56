"""Conditions and templates: what they mean, and that nothing hostile gets through."""

import contextlib
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.expressions import ExpressionError, evaluate, parse
from workflows.templates import render

SCOPE = {
    "input": {"name": "Ann", "count": 3, "tags": ["a", "b"], "items": [{"score": 0.9}, {"score": 0.2}]},
    "nodes": {"draft": {"output": {"text": "hello", "title": None}}},
    "context": {"last_output": {"score": 0.8, "label": "Refund"}},
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("context.last_output.score > 0.7", True),
        ("context.last_output.score > 0.7 and not input.count == 4", True),
        ("lower(context.last_output.label) in ['refund', 'return']", True),
        ("'z' not in input.tags", True),
        ("any(item.score < 0.5 for item in input.items)", True),
        ("all(item.score < 0.5 for item in input.items)", False),
        ("any(input.tags)", True),
        ("len(input.tags) * 2 - 1", 3),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("-input.count", -3),
        ("7 % 4 / 2", 1.5),
        ("input['items'][1].score", 0.2),
        ("input.items.0.score", 0.9),
        ("input.tags[-1]", "b"),
        ("input.nothing.at.all", None),
        ("input.nothing > 1", False),
        ("input.nothing <= 1", False),
        ("default(input.nothing, 'x')", "x"),
        ("exists(nodes.draft.output.title)", False),
        ("true == 1", False),
        ("1 == 1.0", True),
        ("'a' < 'b'", True),
        ("true and 'yes'", "yes"),
        ("null or 0", 0),
        ("join(input.tags, '/')", "a/b"),
        ("round(number('2.345'), 1)", 2.3),
        ("sum([1, 2, 3]) == max(6, 2)", True),
        ("sum([])", 0),
        ("'it\\'s' + ' \"so\"'", 'it\'s "so"'),
        ("starts_with(input.name, 'A') and ends_with(trim(' x '), 'x')", True),
        ("json(input.items[0])", '{"score": 0.9}'),
    ],
)
def test_it_evaluates(source, value):
    found = evaluate(source, SCOPE)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("", "empty"),
        ("1 +", "value is expected"),
        ("a b", "unexpected"),
        ("(1", "')' is expected"),
        ("[1, 2", "',' is expected"),
        ("'open", "not closed"),
        ("a..b", "name is expected"),
        ("a; b", "means nothing"),
        ("1 < 2 < 3", "joined by `and`"),
        ("open('x')", "no function 'open'"),
        ("len()", "takes 1 arguments"),
        ("len(x for x in y)", "any() and all() only"),
        ("'\\q'", "is no escape"),
        ("99999999999999999999", "too large"),
        ("x" * 2001, "longer than 2000"),
        ("(" * 40 + "1" + ")" * 40, "nested deeper"),
        ("-" * 40 + "1", "nested deeper"),
        ("+".join(["1"] * 150), "more than 200 parts"),
    ],
)
def test_it_says_what_cannot_be_read(source, part):
    with pytest.raises(ExpressionError) as caught:
        parse(source)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "source",
    ["1 / 0", "1 % 0", "1 < 'a'", "-'a'", "'a' * 3", "len(1)", "lower(1)", "min('a')", "9e18 * 9e18", "round('x')",
     "'a' in 1", "any(x for x in 3)", "number('abc')", "keys(1)", "abs('x')", "round(1.5, 99)"],
)  # fmt: skip
def test_it_says_what_cannot_be_done(source):
    with pytest.raises(ExpressionError):
        evaluate(source, SCOPE)


class Secret:
    password = "hunter2"

    def __len__(self):
        raise AssertionError("was called")


@pytest.mark.parametrize(
    "source",
    ["x.password", "x['password']", "x.__class__", "x.__class__.__mro__", "input.__class__", "input.keys",
     "''.__class__", "input.name.upper", "input.items.append", "(1).real", "x.__dict__.password"],
)  # fmt: skip
def test_it_never_reads_an_attribute(source):
    with contextlib.suppress(ExpressionError):
        assert evaluate(source, {**SCOPE, "x": Secret()}) is None


def test_it_bounds_the_work_over_long_lists():
    scope = {"xs": [{"v": i} for i in range(100_000)]}
    with pytest.raises(ExpressionError, match="steps"):
        evaluate("all(x.v >= 0 for x in xs)", scope)
    with pytest.raises(ExpressionError, match="steps"):
        evaluate(
            "any(any(any(x.v + y.v + z.v < 0 for x in xs) for y in xs) for z in xs)",
            {"xs": scope["xs"][:200]},
        )


def test_it_bounds_text_and_depth_of_values():
    with pytest.raises(ExpressionError, match="longer"):
        evaluate("a + a", {"a": "x" * 200_000})
    deep: list = []
    for _ in range(20_000):
        deep = [deep]
    for source in ("a == b", "text(a)", "a in [b]"):
        with pytest.raises(ExpressionError):
            evaluate(source, {"a": deep, "b": [deep]})


def test_it_renders_values_and_texts():
    template = {
        "n": "{{ input.count }}",
        "t": "Dear {{ input.name }}: {{ input.tags }}",
        "l": ["{{ nodes.draft.output.text }}", 5],
    }
    assert render(template, SCOPE) == {"n": 3, "t": 'Dear Ann: ["a", "b"]', "l": ["hello", 5]}


@pytest.mark.parametrize(
    "source", ["{{ input.nope }}", "{{ nope }}", "x {{ input.name", "{{ }}", "{{ 1 + }}"]
)
def test_it_renders_nothing_that_is_not_there(source):
    with pytest.raises(ExpressionError):
        render(source, SCOPE)


def test_it_lets_templates_ask_for_what_may_be_absent():
    assert render("{{ default(input.nope.deeper, 'none') }}", SCOPE) == "none"


_WORDS = st.sampled_from(
    ["input", "nodes", ".", "[", "]", "(", ")", ",", "and", "or", "not", "in", "for", "any", "all", "len", "text",
     "==", "<", "+", "-", "*", "/", "%", "1", "0", "1e308", "'a'", '"', "'", "\\", "x", "__class__", "null", "true",
     "join", "number", "round", "{{", "}}", " ", "\u00e9", "\x00", "9" * 30]
)  # fmt: skip
_SOURCES = st.one_of(
    st.text(max_size=300),
    st.text(alphabet=string.printable, max_size=300),
    st.lists(_WORDS, max_size=80).map(" ".join),
    st.lists(_WORDS, max_size=80).map("".join),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)
_FUZZ = settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_FUZZ
@given(_SOURCES, _JSON)
def test_it_raises_nothing_but_its_own_error(source, value):
    scope = {"input": value, "x": value, "nodes": {"a": value}}
    for run in (lambda: evaluate(source, scope), lambda: evaluate(source, scope, strict=True)):
        with contextlib.suppress(ExpressionError):
            run()


@_FUZZ
@given(_SOURCES | st.tuples(_SOURCES, _SOURCES).map(lambda parts: f"{parts[0]}{{{{{parts[1]}}}}}"), _JSON)
def test_templates_raise_nothing_but_their_own_error(source, value):
    with contextlib.suppress(ExpressionError):
        render({"a": source, "b": [source]}, {"input": value, "x": value})
