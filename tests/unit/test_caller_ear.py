"""The simulated caller's own instruments: a fake that measures wrongly proves nothing."""

import itertools

import pytest

from tests.fakes import spoken
from tests.fakes.caller import g711
from tests.fakes.caller.ear import Ear
from tests.fakes.stamps import Words


def frames(text: str) -> list[bytes]:
    return g711.frames(spoken.speak(text).audio)


def test_it_plays_what_comes_in_order_and_without_a_gap_when_it_comes_early():
    ear = Ear()
    for frame in g711.frames(b"\x00" * 1600):
        ear.audio(5.0, frame)
    assert ear.playing(5.19)
    assert not ear.playing(5.21)
    assert [(sound.start, pytest.approx(sound.end)) for sound in ear.sounds] == [(5.0, 5.2)]


def test_it_hears_a_gap_where_audio_came_late():
    ear = Ear()
    ear.audio(1.0, b"\x00" * 160)
    ear.audio(1.05, b"\x00" * 160)
    ear.settle(2.0)
    assert len(ear.sounds) == 2
    assert ear.silent_since(2.0) == pytest.approx(1.07)


def test_it_sends_a_mark_back_when_the_audio_before_it_was_played():
    ear = Ear()
    ear.audio(1.0, b"\x00" * 800)
    assert ear.mark(1.0, "half") == pytest.approx(1.1)
    ear.audio(1.0, b"\x00" * 800)
    assert ear.mark(1.0, "all") == pytest.approx(1.2)
    assert ear.reached(1.05) == []
    assert ear.reached(1.1) == ["half"]
    assert ear.reached(1.3) == ["all"]


def test_it_sends_all_marks_back_and_hears_nothing_more_after_a_clear():
    ear = Ear()
    ear.audio(1.0, b"\x00" * 1600)
    ear.mark(1.0, "end")
    assert ear.clear(1.05) == ["end"]
    assert not ear.playing(1.051)
    assert ear.heard_bytes == 400
    ear.audio(1.06, b"\x00" * 160)
    assert ear.playing(1.07)
    assert ear.heard_ms(0.0, 2.0) == pytest.approx(70)


def test_it_knows_which_words_were_heard_and_when():
    ear = Ear()
    said = spoken.speak("one two three four")
    for frame in frames(said.text):
        ear.audio(10.0, frame)
    third = said.words[2]
    ear.clear(10 + (third.at_ms + third.ms * 0.3) / 1000)
    assert [word.text for word in ear.words()] == ["one", "two"]
    assert [word.text for word in ear.words(least=0.2)] == ["one", "two", "three"]
    assert [word.start for word in ear.words()] == [
        pytest.approx(10 + word.at_ms / 1000, abs=0.001) for word in said.words[:2]
    ]


def test_it_reads_stamps_from_pieces_of_any_length_at_any_place():
    audio = b"\xff" * 77 + spoken.speak("an extraordinarily long word").audio
    words = Words()
    for at in range(0, len(audio), 133):
        words.feed(audio[at : at + 133])
    assert words.text() == "an extraordinarily long word"
    assert all(word.share == 1 for word in words.heard())


def test_it_takes_no_ordinary_sound_for_a_stamp():
    from tests.fakes.caller import sounds

    words = Words()
    words.feed(sounds.carrier() + sounds.noise() + g711.SILENCE * 10)
    assert words.heard(0) == []


def test_it_tells_each_character_when_it_is_spoken():
    said = spoken.speak("Hello there, friend.")
    told = list(said.characters())
    assert "".join(character for character, _, _ in told) == said.text
    assert all(early <= late for (_, early, _), (_, late, _) in itertools.pairwise(told))
    assert told[-1][1] + told[-1][2] == pytest.approx(said.ms)


def test_it_encodes_and_decodes_mu_law_by_the_standard():
    codes = bytes(range(256))
    samples = g711.decode(codes)
    assert (g711.decode(g711.encode(samples)) == samples).all()
    assert (samples[0], samples[0x80], samples[0xFF]) == (-32124, 32124, 0)
