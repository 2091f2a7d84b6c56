"""What a caller's words or keys mean as an answer. Pure.

Words are compared whole, without signs and capitals. Of the choices that were said the longest phrase counts; two of
the same length that mean different things are no answer.
"""

from collections.abc import Sequence
from typing import Final

from .guide import Ask, Choice
from .words import words

_DIGITS: Final = {
    word: str(digit)
    for digit, said in enumerate(
        ("zero oh null", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    )
    for word in said.split()
}


def spoken_choice(ask: Ask, text: str) -> Choice | None:
    """The choice that words mean."""
    said = words(text)
    best: list[tuple[int, Choice]] = []
    for choice in ask.choices:
        length = max(
            (len(phrase) for phrase in map(words, _phrases(choice)) if _holds(said, phrase)), default=0
        )
        if length:
            best.append((length, choice))
    longest = max((length for length, _ in best), default=0)
    meant = [choice for length, choice in best if length == longest]
    return meant[0] if len(meant) == 1 else None


def keyed_choice(ask: Ask, digits: str) -> Choice | None:
    """The choice that keys mean."""
    return next((choice for choice in ask.choices if choice.keys and choice.keys == digits), None)


def spoken_digits(text: str) -> str:
    """The digits in what was said: "four two", "42", "it is 4 2"; empty when there are none."""
    return "".join(
        _DIGITS.get(word) or "".join(sign for sign in word if sign.isascii() and sign.isdigit())
        for word in words(text)
    )


def is_complete(ask: Ask, pressed: str) -> bool:
    """Whether no further key is to be waited for."""
    if ask.expects == "speech":
        return False
    if ask.choices:
        longer = any(choice.keys != pressed and choice.keys.startswith(pressed) for choice in ask.choices)
        return keyed_choice(ask, pressed) is not None and not longer
    return 0 < ask.max_digits <= len(pressed)


def takes_speech(ask: Ask) -> bool:
    return ask.expects != "keys"


def takes_keys(ask: Ask) -> bool:
    return ask.expects != "speech"


def understood(ask: Ask, *, text: str = "", digits: str = "") -> dict[str, object] | None:
    """What was answered; None when it is no answer to this question."""
    if digits:
        if not takes_keys(ask):
            return None
        choice = keyed_choice(ask, digits)
        if (ask.choices and choice is None) or (not ask.choices and 0 < ask.max_digits < len(digits)):
            return None
        return {"text": "", "choice": choice.value if choice else None, "digits": digits}
    if not takes_speech(ask) or not text.strip():
        return None
    if ask.choices:
        choice = spoken_choice(ask, text)
        return {"text": text, "choice": choice.value, "digits": ""} if choice else None
    if ask.max_digits:
        said = spoken_digits(text)
        return {"text": text, "choice": None, "digits": said} if 0 < len(said) <= ask.max_digits else None
    return {"text": text, "choice": None, "digits": ""}


def _phrases(choice: Choice) -> Sequence[str]:
    return choice.phrases or (choice.value,)


def _holds(said: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the words of a phrase were said, one after the other."""
    length = len(phrase)
    return length > 0 and any(
        list(said[at : at + length]) == list(phrase) for at in range(len(said) - length + 1)
    )
