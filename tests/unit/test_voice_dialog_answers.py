"""What a caller's words and keys mean as answers to a question."""

import pytest

from voice.pipeline.answers import is_complete, spoken_digits, understood
from voice.pipeline.guide import Ask, Choice

SALES = Choice("sales", ("sales", "buy something"), "1")
SERVICE = Choice("service", ("service", "sales service"), "2")
OTHER = Choice("other", keys="21")
WHICH = Ask(None, "Which?", choices=(SALES, SERVICE, OTHER))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Sales.", "sales"),
        ("I'd like to buy something, please", "sales"),
        ("the SALES service", "service"),  # the longer phrase
        ("other", "other"),  # a choice without phrases is called by its value
        ("salesman", None),
        ("sales, no, other", None),  # two at once
        ("something to buy", None),
        ("", None),
    ],
)
def test_words_mean_the_choice_whose_phrase_they_hold(said: str, meant: str | None) -> None:
    answer = understood(WHICH, text=said)
    assert (answer["choice"] if answer else None) == meant
    assert answer is None or answer["text"] == said


@pytest.mark.parametrize(
    ("pressed", "meant"), [("1", "sales"), ("2", "service"), ("21", "other"), ("3", None)]
)
def test_keys_mean_the_choice_that_has_them(pressed: str, meant: str | None) -> None:
    answer = understood(WHICH, digits=pressed)
    assert (answer["choice"] if answer else None) == meant


def test_keys_are_complete_when_no_longer_choice_begins_with_them() -> None:
    assert is_complete(WHICH, "1")
    assert not is_complete(WHICH, "2")  # 21 may follow
    assert is_complete(WHICH, "21")
    assert not is_complete(WHICH, "3")
    assert not is_complete(Ask(None, "?", expects="speech", choices=(SALES,)), "1")
    digits = Ask(None, "?", max_digits=4)
    assert [is_complete(digits, pressed) for pressed in ("123", "1234")] == [False, True]
    assert not is_complete(Ask(None, "?"), "1234")


@pytest.mark.parametrize(
    ("said", "digits"),
    [("four two", "42"), ("It is 4 2.", "42"), ("12-34", "1234"), ("oh seven", "07"), ("none of it", "")],
)
def test_digits_are_found_in_what_was_said(said: str, digits: str) -> None:
    assert spoken_digits(said) == digits


def test_a_question_takes_what_it_asks_for() -> None:
    number = Ask(None, "?", max_digits=3)
    assert understood(number, text="one two") == {"text": "one two", "choice": None, "digits": "12"}
    assert understood(number, text="one two three four") is None
    assert understood(number, digits="1234") is None
    assert understood(Ask(None, "?"), text="Whatever you like.") == {
        "text": "Whatever you like.",
        "choice": None,
        "digits": "",
    }
    assert understood(Ask(None, "?", expects="keys", choices=(SALES,)), text="sales") is None
    assert understood(Ask(None, "?", expects="speech", choices=(SALES,)), digits="1") is None
