"""The JSON guard's reading of bodies."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.strictjson import BadJson, MalformedJson, parse, too_deep

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
)


@given(json_values)
def test_it_reads_what_is_good_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_it_never_fails_otherwise(body: bytes) -> None:
    with contextlib.suppress(MalformedJson, BadJson):
        parse(body)


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        ("[" * 64 + "]" * 64, False),
        ("[" * 65 + "]" * 65, True),
        ("[]" * 1000, False),
        (json.dumps("[" * 1000), False),
        (json.dumps('\\"' + "[" * 1000), False),
        ('{"a":' * 65, True),
        ('"' + "[" * 1000, False),
    ],
)
def test_it_measures_depth_outside_of_strings(text: str, deep: bool) -> None:
    assert too_deep(text) is deep


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"' * 400_000,
        "[" * 500_000 + "]" * 500_000,
        "[]" * 500_000,
        '"' * 1_000_000,
        "[" + '"\\' * 400_000,
    ],
)
def test_it_measures_depth_in_linear_time(text: str) -> None:
    began = time.perf_counter()
    too_deep("[" * 65 + text)
    too_deep(text)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (b'{"a": {"b~c": [1, NaN]}}', "/a/b~0c/1", "bad_number"),
        (b'{"a": "\\udc00"}', "/a", "bad_character"),
        (b'{"\\u0000": 1}', "", "bad_character"),
        (b'[{"x": 1, "x": 2}]', "/0/x", "repeated_member"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "/?", "repeated_member"),
        (b"-1e400", "", "bad_number"),
    ],
)
def test_it_points_to_what_is_wrong(body: bytes, pointer: str, code: str) -> None:
    with pytest.raises(BadJson) as caught:
        parse(body)
    assert (caught.value.pointer, caught.value.code) == (pointer, code)


def test_it_accepts_a_surrogate_pair() -> None:
    assert parse(b'"\\ud83d\\ude00"') == "😀"
