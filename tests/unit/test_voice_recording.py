"""Both sides of a call in one file."""

import wave
from pathlib import Path

import numpy as np

from voice.audio import WIDE_BAND
from voice.pipeline.recording import StereoRecorder


def _tone(value: int, milliseconds: float) -> bytes:
    return np.full(WIDE_BAND.size(milliseconds) // 2, value, dtype="<i2").tobytes()


def _read(path: Path) -> "tuple[np.ndarray, np.ndarray]":
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 16_000)
        both = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return both[0::2], both[1::2]


def test_it_puts_both_sides_where_they_were(tmp_path: Path) -> None:
    recorder = StereoRecorder(tmp_path / "call.wav", WIDE_BAND)
    for frame in range(250):
        recorder.caller(_tone(1, 20), 5000 + frame * 20 + frame % 7)  # jitter is no pause
        if frame == 50:
            recorder.agent(_tone(2, 500), 6000)
    recorder.close()
    caller, agent = _read(recorder.path)
    assert len(caller) == 5 * 16_000
    assert caller.all()
    spoken = np.flatnonzero(agent)
    assert len(spoken) == 8000
    assert abs(spoken[0] - 16 * 1020) < 16 * 10


def test_it_forgets_what_was_cleared(tmp_path: Path) -> None:
    recorder = StereoRecorder(tmp_path / "call.wav", WIDE_BAND)
    recorder.caller(_tone(1, 20), 1020)
    recorder.agent(_tone(2, 1000), 1000)
    recorder.clear(1300)
    recorder.close()
    _, agent = _read(recorder.path)
    assert np.count_nonzero(agent) == 16 * 300


def test_it_writes_as_the_call_goes_on_though_one_side_is_silent(tmp_path: Path) -> None:
    recorder = StereoRecorder(tmp_path / "call.wav", WIDE_BAND)
    for frame in range(500):
        recorder.caller(_tone(1, 20), frame * 20)
    on_disk = recorder.path.stat().st_size
    assert on_disk > 6 * 64_000  # of ten seconds at 64 kB; the rest is what may still be joined
    recorder.close()
    recorder.close()
    recorder.caller(_tone(1, 20), 10_000)
    assert len(_read(recorder.path)[0]) == 10 * 16_000
