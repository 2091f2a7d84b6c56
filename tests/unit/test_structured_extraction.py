"""Objects are found in whatever a model writes; nothing it writes can break us or the database."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.engine.output import extract_object, storable

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '```json\n{"a": 1}\n```',
        'Here you are: {"a": 1}. Anything else?',
        'I thought {about it} and say {"a": 1}',
        '{"a": 1}{"a": 2}',
    ],
)
def test_it_finds_the_object(text: str) -> None:
    assert extract_object(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", "no", "[1]", "{", '{"a": ', "{" * 100_000, '{"a":' * 50_000])
def test_it_finds_none_where_there_is_none(text: str) -> None:
    assert extract_object(text) is None


@given(st.text(st.characters() | st.sampled_from('{}[]":,\\')))
def test_it_survives_any_text(text: str) -> None:
    assert_storable(extract_object(text))


@given(st.dictionaries(st.text(st.characters()), json_values), st.text(), st.text())
def test_it_returns_what_can_be_stored(value: dict[str, Any], before: str, after: str) -> None:
    found = extract_object(f"{before.replace('{', '')}{json.dumps(value)}{after}")
    assert found is not None
    assert_storable(found)
    assert_storable(storable(value))


def assert_storable(value: object) -> None:
    """As jsonb wants it: UTF-8, no NUL, finite numbers."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in text
    text.encode()
