"""Speech is told from noise, tones and silence, for all calls at once."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.caller.synthesised import espeak
from tests.fakes.virtual_time import run_virtual, virtual
from voice.audio import STUDIO, TELEPHONE, WIDE_BAND, AudioFormat
from voice.pipeline import mulaw, silero, vad
from voice.pipeline.dtmf_tones import tones
from voice.pipeline.resample import convert
from voice.pipeline.vad import VoiceActivityEngine, Window

ROOT = Path(__file__).parents[2]
PLAIN = AudioFormat("pcm16", 8000)
WORDS = "I would like to know when my order will be delivered, please."


def judge(*calls: bytes, format: AudioFormat = TELEPHONE, model: Path | None = None) -> list[list[Window]]:
    """Let each of the calls speak at once, in frames of 20 ms, and return their windows."""

    async def scene() -> list[list[Window]]:
        loop = asyncio.get_running_loop()
        engine = VoiceActivityEngine(clock=loop.time, model=model)
        await engine.start()
        heard: list[list[Window]] = [[] for _ in calls]
        ears = [engine.open(format, windows.append) for windows in heard]
        size = format.size(20)
        for at in range(0, max(map(len, calls)), size):
            for ear, audio in zip(ears, calls, strict=True):
                ear.push(audio[at : at + size])
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        await engine.aclose()
        return heard

    return run_virtual(scene())


def spoken(format: AudioFormat = TELEPHONE) -> bytes:
    return convert(espeak(WORDS).astype("<i2").tobytes(), PLAIN, format)


def noise(level_db: float, seconds: float = 4) -> bytes:
    values = np.random.default_rng(5).normal(0, 32768 * 10 ** (level_db / 20), int(8000 * seconds))
    return mulaw.pack(values, TELEPHONE)


def tone(*frequencies: int) -> bytes:
    at = 2 * np.pi / 8000 * np.arange(32_000)
    return mulaw.pack(sum(np.sin(at * each) for each in frequencies) * 5000, TELEPHONE)


@pytest.mark.parametrize("format", [TELEPHONE, PLAIN, WIDE_BAND, STUDIO], ids=str)
def test_it_hears_speech_in_every_format(format: AudioFormat) -> None:
    [windows] = judge(spoken(format), format=format)
    loud = [window for window in windows if window.level_db > -30]
    assert len(loud) > 40
    assert sum(window.probability > 0.5 for window in loud) / len(loud) > 0.8


@pytest.mark.parametrize(
    "audio",
    [noise(-30), noise(-15), tone(1000), tone(440, 480), tones("0123456789*#", TELEPHONE)],
    ids=["soft noise", "loud noise", "tone", "ringing", "keys"],
)
def test_it_takes_neither_noise_nor_tones_for_speech(audio: bytes) -> None:
    [windows] = judge(audio)
    assert len(windows) > 70
    assert sum(window.probability > 0.5 for window in windows) == 0


def test_it_reports_every_window_once_and_when_it_came() -> None:
    speech = spoken()
    [windows] = judge(speech)
    count = len(speech) // 256
    assert [window.audio_ms for window in windows] == [32.0 * (at + 1) for at in range(count)]
    came = np.array([window.at_ms for window in windows]) - 1_000_000
    expected = np.array([-(-window.audio_ms // 20) * 20 - 20 for window in windows])
    assert came == pytest.approx(expected, abs=0.01)


def test_it_judges_a_call_alike_alone_and_among_others() -> None:
    speech = spoken()
    [alone] = judge(speech)
    later = TELEPHONE.silence * 1000 + speech
    among = judge(later, noise(-30), speech, tone(1000), *[later] * 40)
    assert [w.probability for w in among[2]] == pytest.approx([w.probability for w in alone], abs=1e-3)
    assert among[0] != alone
    assert [len(each) for each in among][:2] == [len(later) // 256, 32_000 // 256]


def test_it_asks_the_model_about_loud_windows_only_and_replays_what_was_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []
    real = silero.Silero.probabilities

    def count(self: silero.Silero, windows: silero.Array, memories: list[silero.Memory]) -> list[float]:
        asked.extend(float(level) for level in (windows**2).mean(axis=1))
        return real(self, windows, memories)

    monkeypatch.setattr(silero.Silero, "probabilities", count)
    quiet = TELEPHONE.silence * 256 * 100
    [windows] = judge(quiet + noise(-20, 0.32) + quiet)
    assert len(windows) == 210
    assert len(asked) == 1 + 3 + 10 + 9  # warming up, replayed, loud, and the time the gate stays open
    assert max(asked[1:4]) < 1e-5 < asked[4]


def test_it_hears_the_begin_of_a_word_after_silence_as_well_as_without_a_gate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audio = TELEPHONE.silence * 16_000 + spoken()
    [gated] = judge(audio)
    monkeypatch.setattr(vad, "GATE_DB", -200.0)
    [open_] = judge(audio)
    first = [next(w.audio_ms for w in windows if w.probability > 0.5) for windows in (gated, open_)]
    assert abs(first[0] - first[1]) <= 32


def test_it_hears_a_second_sentence_as_if_it_were_the_first() -> None:
    words = spoken()
    words += TELEPHONE.silence * (-len(words) % 256)  # windows begin where they began the first time
    pause = TELEPHONE.silence * 256 * 60
    [both] = judge(words + pause + words)
    [first] = judge(pause + words)
    count = len(words) // 256
    assert [w.probability for w in both[-count:]] == [w.probability for w in first[-count:]]


@virtual
async def test_it_forgets_a_call_that_was_closed() -> None:
    engine = VoiceActivityEngine(clock=asyncio.get_running_loop().time)
    windows: list[Window] = []
    ear = engine.open(TELEPHONE, windows.append)
    ear.push(noise(-20, 0.5))
    ear.close()
    ear.push(noise(-20, 0.5))
    await asyncio.sleep(1)
    assert windows == []


@virtual
async def test_it_goes_on_with_other_calls_when_a_listener_fails(caplog: pytest.LogCaptureFixture) -> None:
    engine = VoiceActivityEngine(clock=asyncio.get_running_loop().time)
    windows: list[Window] = []

    def fail(window: Window) -> None:
        raise RuntimeError("no")

    for listener in (fail, windows.append):
        engine.open(TELEPHONE, listener).push(noise(-20, 0.5))
    await asyncio.sleep(1)
    assert len(windows) == 15
    assert "a listener to voice activity failed" in caplog.text


def test_it_judges_by_energy_where_the_model_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "silero_vad.onnx"
    broken.write_bytes(b"no model")

    async def reason() -> str:
        engine = VoiceActivityEngine(model=broken)
        await engine.start()
        return engine.reason

    assert "cannot be used" in run_virtual(reason())
    [windows] = judge(spoken() + TELEPHONE.silence * 8000, model=broken)
    assert sum(window.probability > 0.5 for window in windows) > 20
    assert all(window.probability == 0 for window in windows[-20:])


def test_its_runtime_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    """onnxruntime would keep a number for this machine, and what it has to report, below the home folder."""
    program = "from voice.pipeline.silero import Silero, find_model; Silero(find_model())"
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
