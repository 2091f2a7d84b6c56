"""Mu-law, rates and keys: the arithmetic of audio."""

import numpy as np
import pytest

from voice.audio import STUDIO, TELEPHONE, WIDE_BAND, AudioFormat
from voice.pipeline import mulaw
from voice.pipeline.dtmf_tones import tones
from voice.pipeline.resample import Resampler, convert

ESPEAK = AudioFormat("pcm16", 22_050)


def _expand(code: int) -> int:
    """G.711, table 2a: 14-bit values at 16-bit scale, by its formula, one code at a time."""
    code = ~code & 0xFF
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (((2 * step + 33) << segment) - 33) * 4
    return -magnitude if code & 0x80 else magnitude


def _sine(frequency: float, format: AudioFormat, seconds: float = 1.0, peak: float = 10_000) -> bytes:
    at = np.arange(int(format.rate * seconds)) / format.rate
    return mulaw.pack(np.sin(2 * np.pi * frequency * at) * peak, format)


def _level(audio: bytes, format: AudioFormat) -> float:
    quarter = len(audio) // 4 // format.width * format.width
    middle = audio[quarter : 3 * quarter]
    return mulaw.levels_db(middle, format, len(middle))[0]


def test_it_expands_every_code_as_g711_says() -> None:
    codes = bytes(range(256))
    assert mulaw.samples(codes, TELEPHONE).tolist() == [_expand(code) for code in codes]
    assert mulaw.decode(codes) == np.array([_expand(code) for code in codes], dtype="<i2").tobytes()


def test_it_compresses_every_sample_between_the_decision_values_of_g711() -> None:
    positive = np.arange(32_768)
    codes = ~np.frombuffer(mulaw.encode(positive.astype("<i2").tobytes()), dtype=np.uint8).astype(int) & 0xFF
    segment, step = (codes >> 4) & 7, codes & 15
    magnitude = np.minimum(positive >> 2, 8158)
    assert (codes < 0x80).all()
    assert (((32 + 2 * step) << segment) - 33 <= magnitude).all()
    assert (magnitude < ((34 + 2 * step) << segment) - 33).all()


def test_it_compresses_both_signs_alike() -> None:
    positive = np.arange(1, 32_768).astype("<i2")
    up, down = (mulaw.decode(mulaw.encode(each.tobytes())) for each in (positive, -positive))
    assert (np.frombuffer(up, "<i2") == -np.frombuffer(down, "<i2")).all()


def test_it_keeps_what_was_compressed_once() -> None:
    codes = bytes(code for code in range(256) if code != 0x7F)  # minus zero becomes zero
    assert mulaw.encode(mulaw.decode(codes)) == codes


def test_it_calls_silence_silent_and_a_full_sine_minus_three() -> None:
    for format in (TELEPHONE, WIDE_BAND):
        frame = format.size(20)
        sound = _sine(1000, format, seconds=0.02, peak=32_000) + format.silence * 2 * (frame // format.width)
        loud, *silent = mulaw.levels_db(sound, format, frame)
        assert loud == pytest.approx(-3.2, abs=0.1)
        assert silent == pytest.approx([mulaw.SILENT_DB] * 2)


@pytest.mark.parametrize(
    ("source", "target"),
    [(TELEPHONE, WIDE_BAND), (WIDE_BAND, TELEPHONE), (STUDIO, TELEPHONE), (ESPEAK, TELEPHONE)],
)
def test_it_converts_speech_and_leaves_no_images(source: AudioFormat, target: AudioFormat) -> None:
    for frequency in (300, 1000, 3000):
        audio = _sine(frequency, source)
        converted = convert(audio, source, target)
        assert len(converted) == target.size(1000)
        assert _level(converted, target) == pytest.approx(_level(audio, source), abs=0.8)
    if source.rate > target.rate:
        assert _level(convert(_sine(6500, source), source, target), target) < -60


def test_it_does_not_matter_how_a_stream_is_cut() -> None:
    random = np.random.default_rng(1)
    audio = random.integers(-9000, 9000, 22_050).astype("<i2").tobytes()
    stream, at, pieces = Resampler(ESPEAK, TELEPHONE), 0, []
    while at < len(audio):
        size = int(random.integers(1, 900))  # odd sizes cut samples in two
        pieces.append(stream.push(audio[at : at + size]))
        at += size
    whole = Resampler(ESPEAK, TELEPHONE)
    assert b"".join([*pieces, stream.flush()]) == whole.push(audio) + whole.flush()


def test_it_holds_back_a_millisecond_only() -> None:
    stream = Resampler(TELEPHONE, WIDE_BAND)
    given = _sine(500, TELEPHONE, 0.02)
    assert WIDE_BAND.duration(len(stream.push(given))) == pytest.approx(20, abs=1.1)
    assert stream.delay_ms == 1.0


def test_it_presses_keys_by_two_tones() -> None:
    audio = mulaw.samples(tones("5w#", TELEPHONE), TELEPHONE).astype(float)
    assert len(audio) == 8 * (200 + 500 + 200)
    for start, expected in ((0, (770, 1336)), (8 * 700, (941, 1477))):
        power = np.abs(np.fft.rfft(audio[start : start + 800]))
        loudest = sorted(int(each) * 10 for each in np.argsort(power)[-2:])
        assert loudest == [pytest.approx(frequency, abs=10) for frequency in expected]


def test_it_refuses_what_is_no_key() -> None:
    with pytest.raises(ValueError, match="'x' is not a telephone key"):
        tones("1x", TELEPHONE)
