"""When a caller has finished, told by windows and transcripts alone."""

import pytest

from voice.connectors.types import Transcript
from voice.pipeline.endpointing import Endpoint, Endpointing, patience

STARTED, FINALS, ENDED, DISMISSED = Endpoint.STARTED, Endpoint.FINALS, Endpoint.ENDED, Endpoint.DISMISSED


class Ear:
    """Feeds an `Endpointing` window by window and keeps what it said, with the time."""

    def __init__(self, silence_ms: float = 500, language: str = "en-US") -> None:
        self.ends = Endpointing(silence_ms, patience(language))
        self.now = 0.0
        self.steps: list[tuple[Endpoint, float]] = []
        self.turns: list[tuple[str, float]] = []  # the text, and the silence after it

    def _note(self, steps: list[Endpoint]) -> None:
        self.steps += [(step, self.now) for step in steps]
        if ENDED in steps or DISMISSED in steps:
            self.turns.append((self.ends.text, self.ends.silent_for(self.now)))
            self.ends.reset()

    def sound(self, milliseconds: float, voiced: bool = True) -> "Ear":
        for _ in range(int(milliseconds / 32)):
            self.now += 32
            self._note(self.ends.window(self.now, voiced))
        return self

    def silence(self, milliseconds: float) -> "Ear":
        return self.sound(milliseconds, voiced=False)

    def wait(self, milliseconds: float) -> "Ear":
        """No audio comes at all."""
        end = self.now + milliseconds
        while (deadline := self.ends.deadline) is not None and deadline <= end:
            self.now = deadline
            before = len(self.steps)
            self._note(self.ends.tick(self.now))
            assert len(self.steps) > before, "a deadline at which nothing happens comes again for ever"
        self.now = end
        return self

    def hear(self, text: str, *, final: bool = False, closes: bool = False, endpoint: bool = False) -> "Ear":
        self._note(self.ends.transcript(self.now, Transcript(text, final, closes, endpoint)))
        return self

    @property
    def said(self) -> list[Endpoint]:
        return [step for step, _ in self.steps]


def test_it_asks_for_finals_before_the_silence_is_over_and_ends_with_them() -> None:
    ear = Ear().sound(640).hear("hello there")
    ear.silence(384)
    assert ear.said == [STARTED, FINALS]
    ear.hear("hello there", final=True, closes=True).silence(128)
    assert ear.said == [STARTED, FINALS, ENDED]
    assert ear.turns == [("hello there", pytest.approx(500, abs=32))]


def test_it_takes_one_voiced_window_for_a_click() -> None:
    ear = Ear().sound(32).silence(640).sound(32).silence(640)
    assert ear.said == []
    assert ear.ends.deadline is None


def test_it_dismisses_a_noise_that_the_recogniser_heard_no_word_in() -> None:
    ear = Ear().sound(160).silence(384).hear("", final=True, closes=True).silence(160)
    assert ear.said == [STARTED, FINALS, DISMISSED]


def test_it_starts_the_silence_anew_when_the_caller_goes_on() -> None:
    ear = Ear().sound(320).hear("I want").silence(448).sound(320).hear("I want a table").silence(384)
    assert ear.said == [STARTED, FINALS, FINALS]


def test_it_waits_for_an_answer_to_each_question_for_finals() -> None:
    ear = Ear().sound(320).silence(384).sound(320).silence(512)
    ear.hear("I want", final=True, closes=True)
    assert ENDED not in ear.said, "the second part is still owed"
    ear.hear("a table", final=True, closes=True)
    assert ear.said[-1] is ENDED
    assert ear.turns[0][0] == "I want a table"


def test_it_drops_what_comes_late_for_a_turn_that_went_on_without_it() -> None:
    ear = Ear().sound(320).hear("good morning").silence(1600)
    assert ear.said[-1] is ENDED
    ear.hear("good morning", final=True, closes=True)
    assert ear.ends.text == ""
    ear.sound(320).hear("how are you").silence(384).hear("how are you", final=True, closes=True).silence(160)
    assert [text for text, _ in ear.turns] == ["good morning", "how are you"]


def test_it_waits_long_for_a_recogniser_that_answers_only_at_the_end() -> None:
    ear = Ear().sound(640).silence(3200)
    assert ear.said == [STARTED, FINALS]
    ear.hear("opening hours", final=True, closes=True)
    assert ear.said[-1] is ENDED


def test_it_gives_up_on_a_recogniser_that_never_answers() -> None:
    ear = Ear().sound(640).silence(7000)
    assert DISMISSED in ear.said


def test_it_trusts_a_recogniser_that_is_sure_more_than_its_own_guess() -> None:
    unsure = Ear().sound(640).silence(384).hear("it is my", final=True, closes=True).silence(320)
    sure = Ear().sound(640).silence(384).hear("it is my", final=True, closes=True, endpoint=True).silence(320)
    assert ENDED not in unsure.said
    assert ENDED in sure.said


def test_it_does_not_take_late_audio_for_silence() -> None:
    ear = Ear(200).sound(320).hear("hello").silence(64)
    ear.hear("hello", final=True, closes=True)
    ear.wait(250)
    assert ENDED not in ear.said
    ear.sound(320)
    assert ENDED not in ear.said


def test_it_ends_a_turn_when_no_audio_comes_any_more() -> None:
    ear = Ear(200).sound(320).hear("hello").wait(2000)
    assert ear.said[-1] is ENDED


def test_it_begins_by_words_that_no_voice_was_heard_for() -> None:
    ear = Ear().silence(320).hear("can you hear me")
    assert ear.said == [STARTED]
    ear.silence(384).hear("can you hear me", final=True, closes=True).silence(160)
    assert ear.said[-1] is ENDED


def test_it_asks_again_when_another_recogniser_listens() -> None:
    ear = Ear().sound(320).hear("good").silence(384)
    ear.ends.forget_finals()
    ear.silence(64).hear("good day", final=True, closes=True).silence(96)
    assert ear.said == [STARTED, FINALS, FINALS, ENDED]


def test_it_goes_on_listening_while_words_come_that_no_voice_was_heard_for() -> None:
    ear = Ear(200).silence(320).hear("can you")
    for text in ("can you hear", "can you hear me", "can you hear me now"):
        ear.silence(160).hear(text)
        assert ENDED not in ear.said
    ear.silence(1600)
    assert ear.turns[0][0] == "can you hear me now"
