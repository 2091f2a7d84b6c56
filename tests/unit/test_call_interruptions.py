"""What a sound over the agent is, told by windows and words alone."""

import pytest

from voice.pipeline.barge_in import BargeIn, Mode, Verdict

PAUSE, REAL, RESUME = Verdict.PAUSE, Verdict.REAL, Verdict.RESUME


class Over:
    def __init__(self, mode: Mode = "pause_then_decide") -> None:
        self.barge = BargeIn(mode)
        self.now = 0.0
        self.verdicts: list[tuple[Verdict, float]] = []

    def _note(self, verdict: Verdict | None) -> "Over":
        if verdict is not None:
            self.verdicts.append((verdict, self.now))
            if verdict is REAL:
                self.barge.reset()
        return self

    def sound(self, milliseconds: float, voiced: bool = True) -> "Over":
        for _ in range(round(milliseconds / 32)):
            self.now += 32
            self._note(self.barge.window(self.now, voiced))
            if self.verdicts and self.verdicts[-1][0] is REAL:
                break
        return self

    def silence(self, milliseconds: float) -> "Over":
        return self.sound(milliseconds, voiced=False)

    def hear(self, text: str, final: bool = False) -> "Over":
        return self._note(self.barge.words(self.now, text, final=final))

    @property
    def said(self) -> list[Verdict]:
        return [verdict for verdict, _ in self.verdicts]


def test_it_pauses_after_about_100_ms() -> None:
    assert Over().sound(64).said == []
    assert Over().sound(640).verdicts[0] == (PAUSE, 96)


def test_it_decides_by_words_after_300_ms() -> None:
    over = Over().sound(192).hear("I want something else").sound(640)
    assert over.verdicts == [(PAUSE, 96), (REAL, 320)]
    assert Over().sound(320).hear("I want").said == [PAUSE, REAL]


def test_it_decides_without_words_after_450_ms() -> None:
    assert Over().sound(640).verdicts == [(PAUSE, 96), (REAL, 480)]


@pytest.mark.parametrize("sign", ["mm-hm", "Yeah.", "okay, okay", "Uh-huh!", "right", "I see."])
def test_it_resumes_after_signs_of_listening(sign: str) -> None:
    over = Over().sound(192).hear(sign).sound(320).silence(320)
    assert over.said == [PAUSE, RESUME]


def test_it_lets_a_sign_of_listening_grow_into_an_interruption() -> None:
    over = Over().sound(288).hear("yeah").sound(160).hear("yeah but I wanted")
    assert over.said == [PAUSE, REAL]
    assert Over().sound(192).hear("yeah").sound(2000).said == [PAUSE, REAL]


@pytest.mark.parametrize("milliseconds", [96, 192, 288])
def test_it_resumes_after_a_cough_within_half_a_second(milliseconds: float) -> None:
    over = Over().sound(milliseconds).silence(640)
    assert over.said == [PAUSE, RESUME]
    assert over.verdicts[1][1] <= 500


def test_it_bridges_the_holes_inside_words() -> None:
    over = Over().sound(160).silence(64).sound(160).silence(64).sound(160)
    assert over.said == [PAUSE, REAL]


def test_it_does_not_add_up_clicks() -> None:
    over = Over()
    for _ in range(20):
        over.sound(64).silence(128)
    assert over.said == []


def test_it_interrupts_by_a_final_that_comes_after_it_resumed() -> None:
    over = Over().sound(192).silence(480)
    assert over.said == [PAUSE, RESUME]
    assert over.hear("stop", final=True).said == [PAUSE, RESUME, REAL]


def test_it_does_not_interrupt_by_a_final_without_a_sound_or_long_after_it() -> None:
    assert Over().silence(320).hear("stop", final=True).said == []
    assert Over().sound(192).silence(4000).hear("stop", final=True).said == [PAUSE, RESUME]


def test_it_does_not_interrupt_by_a_late_partial_or_a_late_mm_hm() -> None:
    over = Over().sound(192).silence(480).hear("stop").hear("mm-hm", final=True)
    assert over.said == [PAUSE, RESUME]


def test_it_resumes_when_the_callers_audio_stops_coming() -> None:
    over = Over().sound(192)
    deadline = over.barge.deadline
    assert deadline is not None
    over.now = deadline
    assert over._note(over.barge.tick(over.now)).said == [PAUSE, RESUME]
    assert over.barge.deadline is None


def test_it_obeys_the_other_modes() -> None:
    assert Over("immediate").sound(640).verdicts == [(REAL, 96)]
    assert Over("never").sound(3000).hear("stop it now", final=True).said == []
