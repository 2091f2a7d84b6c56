"""What redaction takes out of transcripts, and what it leaves."""

import pytest

from voice.redaction import CARD, EMAIL, PHONE, redact, redact_value


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("call me at +1 (500) 555-0006 please", f"call me at {PHONE} please"),
        ("my number is 030 1234567.", f"my number is {PHONE}."),
        ("the card is 4111 1111 1111 1111, ok?", f"the card is {CARD}, ok?"),
        ("4111-1111-1111-1111", CARD),
        ("write to ann.lee+news@mail.example.com now", f"write to {EMAIL} now"),
        ("it is ann at example dot com", f"it is {EMAIL}"),
        ("ann dot lee at example dot co dot uk", EMAIL),
        ("five five five one two three four", PHONE),
        ("it's double five, one two three four five six", f"it's {PHONE}"),
        ("four one one one one one one one one one one one one one one one", CARD),
    ],
)
def test_it_takes_out_numbers_and_addresses(said: str, kept: str) -> None:
    assert redact(said) == kept


@pytest.mark.parametrize(
    "said",
    [
        "I have 12 apples and 3000 pears",
        "on 2026-11-21 at 10:30",
        "one two three go",
        "meet me at noon",
        "order 123456",
        "version 1.2.3",
    ],
)
def test_it_leaves_everything_else(said: str) -> None:
    assert redact(said) == said


def test_it_goes_into_payloads() -> None:
    payload = {"to": "+15005550006", "list": ["a@b.example", 3], "deep": {"n": None}}
    assert redact_value(payload) == {"to": PHONE, "list": [EMAIL, 3], "deep": {"n": None}}
