"""The small parts of a call: words, keys, fillers, what was heard of a turn."""

import pytest

from tests.unit.call_world import session
from voice.pipeline.filler import Filler
from voice.pipeline.history import KEPT, History
from voice.pipeline.keys import Keys
from voice.pipeline.phrases import phrases
from voice.pipeline.turn import Turn
from voice.pipeline.words import is_backchannel, is_echo, is_mid_thought, same, whole_words


@pytest.mark.parametrize(
    "text",
    [
        "my number is",
        "I would like to",
        "one, two,",
        "um",
        "can you tell me the",
        "because",
        "I want a table for",
    ],
)
def test_it_knows_a_thought_that_goes_on(text: str) -> None:
    assert is_mid_thought(text)
    assert is_mid_thought(text.capitalize() if text.endswith(",") else f"{text}.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "no",
        "what time is it",
        "yes it is",
        "turn it on",
        "a table for two please",
        "who are you?",
        "so",
    ],
)
def test_it_knows_a_thought_that_is_whole(text: str) -> None:
    assert not is_mid_thought(text)


def test_it_knows_open_ends_in_the_sessions_language_only() -> None:
    assert is_mid_thought("ich hätte gern einen", "de-DE")
    assert not is_mid_thought("rufen Sie mich an", "de-DE")
    assert is_mid_thought("je voudrais une", "fr")
    assert not is_mid_thought("kolme neljä ja", "fi")


def test_it_compares_words_and_not_signs() -> None:
    assert same("Hello, there!", "hello there")
    assert same("It’s ten", "it's ten")
    assert not same("hello", "hello there")


def test_it_knows_signs_of_listening() -> None:
    assert is_backchannel("Mm-hm. Yeah.")
    assert not is_backchannel("")
    assert not is_backchannel("yeah stop")
    assert not is_backchannel("no")


def test_it_knows_its_own_words() -> None:
    assert is_echo("nine to five", "We are open from nine to five.")
    assert not is_echo("five", "We are open from nine to five.")
    assert not is_echo("nine or five", "We are open from nine to five.")
    assert not is_echo("pen from", "We are open from nine to five.")


@pytest.mark.parametrize(
    ("heard", "text"),
    [
        (0, ""),
        (1, ""),
        (3, "Good"),
        (4, "Good"),
        (5, "Good"),
        (6, "Good"),
        (9, "Good morning"),
        (99, "Good morning you"),
    ],
)
def test_it_cuts_what_was_heard_at_a_word(heard: int, text: str) -> None:
    assert whole_words("Good morning you", heard) == text


def turn() -> Turn:
    return Turn(1, session(), 0.0, 0.0)


def test_it_keeps_what_was_heard_in_the_agents_own_words() -> None:
    said = turn()
    assert said.say("Guten Morgen. ", "Good morning. ") == 0
    assert said.say("Wir haben bis fünf geöffnet.", "We are open until five.") == 14
    assert said.heard_text(14 + 9) == "Guten Morgen. Wir haben"
    assert said.heard_as_written(14 + 9) == "Good morning. We are"
    assert said.heard_as_written(99) == "Good morning. We are open until five."
    assert said.heard_as_written(0) == ""


def test_it_forgets_the_beginning_of_a_very_long_call_and_lines_that_nobody_heard() -> None:
    history = History()
    for number in range(KEPT + 10):
        history.add("caller", str(number))
    history.add("agent", "")
    lines = history.utterances()
    assert len(lines) == KEPT - 1
    assert lines[-1].text == str(KEPT + 9)


def test_it_collects_keys() -> None:
    keys = Keys()
    assert keys.deadline is None
    assert [keys.press(0, key) for key in "12*"] == [None, None, None]
    assert keys.press(10, "#") == "12*"
    assert keys.press(20, "#") == "#"
    assert keys.press(30, "7") is None
    assert keys.deadline == 2030
    assert keys.tick(2029) is None
    assert keys.tick(2030) == "7"
    assert keys.tick(9999) is None


def test_it_takes_no_endless_row_of_keys() -> None:
    keys = Keys()
    taken = [keys.press(0, "1") for _ in range(100)]
    assert [len(text) for text in taken if text] == [64]


def test_it_times_fillers_from_the_last_sound_and_takes_turns() -> None:
    filler = Filler()
    filler.begin(1000, ("One.", "Two."), 700)
    assert filler.due_in(1000, 0) == 700
    assert filler.due_in(1000, 500) == 1200
    assert filler.due_in(1700, 0) == 500
    assert filler.take(2200) == "One."
    assert filler.due_in(2200, 400) == 4400
    filler.begin(9000, ("One.", "Two."), 700)
    assert filler.take(9700) == "Two."
    filler.begin(0, (), 700)
    assert filler.due_in(0, 0) is None


def test_it_speaks_the_sessions_language() -> None:
    assert phrases("de-AT").goodbye == "Auf Wiederhören."
    assert phrases("xx").goodbye == "Goodbye."
