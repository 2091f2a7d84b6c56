"""A growing text is cut where it can be spoken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice.pipeline.sentences import ClauseSplitter


def _split(text: str, size: int = 1) -> list[str]:
    splitter = ClauseSplitter()
    clauses = []
    for at in range(0, len(text), size):
        clauses += splitter.push(text[at : at + size])
    return clauses + splitter.flush()


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Sure. I can help you with all of that.", ["Sure. ", "I can help you with all of that."]),
        (
            "Well, let me look at that, it was yesterday.",
            ["Well, let me look at that, ", "it was yesterday."],
        ),
        ("The price is $3.50, or 1,000.75 for all.", ["The price is $3.50, ", "or 1,000.75 for all."]),
        (
            "Please ask Dr. Smith or J. Brown, e.g. today.",
            ["Please ask Dr. Smith or J. Brown, ", "e.g. today."],
        ),
        ("Go to https://a.example/b.c?d=1 and sign in!", ["Go to https://a.example/b.c?d=1 and sign in!"]),
        (
            "Is it true? Yes it is. It is very true indeed.",
            ["Is it true? ", "Yes it is. It is very true indeed."],
        ),
        (
            "1. Apples\n2. Pears and a lot of other fruit\n",
            ["1. Apples\n", "2. Pears and a lot of other fruit\n"],
        ),
        ("そうです。わかりました。", ["そうです。", "わかりました。"]),
    ],
)
def test_it_cuts_at_sentences_and_the_first_time_early(text: str, clauses: list[str]) -> None:
    found = _split(text)
    assert "".join(found) == text
    if text.isascii():
        assert found == clauses
    else:
        assert found[0] == clauses[0]


def test_it_speaks_the_first_clause_before_the_answer_is_complete() -> None:
    assert ClauseSplitter().push("Thank you for waiting, I have ") == ["Thank you for waiting, "]


def test_it_waits_for_white_space_after_a_point() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("That will be 3.") == []
    assert splitter.push("50 then. Thanks") == ["That will be 3.50 then. "]


def test_it_cuts_a_text_without_signs_at_white_space() -> None:
    clauses = _split("word " * 200, size=7)
    assert max(map(len, clauses)) <= 250
    assert all(clause.endswith(" ") for clause in clauses)


def test_it_has_nothing_to_say_of_white_space() -> None:
    assert _split("  \n ") == []


@given(st.text(alphabet="ab1 .,!?\n$。", max_size=200), st.integers(1, 9))
def test_it_loses_no_character(text: str, size: int) -> None:
    clauses = _split(text, size)
    assert "".join(clauses).strip() == text.strip()
    assert all(clause.strip() for clause in clauses)
