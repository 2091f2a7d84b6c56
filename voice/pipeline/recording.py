"""A call's audio in a stereo WAV file: caller left, agent right. Only with consent: the call decides."""

import wave
from pathlib import Path
from typing import Final

import numpy as np

from voice.audio import AudioFormat

from .mulaw import samples

_AHEAD_MS: Final = 3000.0  # one side may be so far ahead before the other is taken for silent
_BLOCK_MS: Final = 1000.0  # written at once
_SLACK_MS: Final = 120.0  # a network's jitter, which is no pause


class _Side:
    """16-bit samples from `self.start` on; everything before is in the file."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.start = 0
        self.held = bytearray()

    @property
    def end(self) -> int:
        return self.start + len(self.held) // 2

    def put(self, pcm: bytes, at: int, slack: int) -> None:
        if at > self.end + slack:
            self.held += bytes(2 * (at - self.end))
        self.held += pcm

    def cut(self, at: int) -> None:
        del self.held[max(0, at - self.start) * 2 :]

    def take(self, count: int) -> bytes:
        taken = bytes(self.held[: count * 2]).ljust(count * 2, b"\0")
        del self.held[: count * 2]
        self.start += count
        return taken


class StereoRecorder:
    """Writes as the call goes on; holds some seconds of either side in memory at most.

    The file is written to through a buffer of the system's, a second of audio at a time.
    """

    def __init__(self, path: Path, format: AudioFormat) -> None:
        """Open the file. Raises OSError."""
        self.path = path
        self._format = format
        self._file: wave.Wave_write | None = wave.open(str(path), "wb")  # noqa: SIM115 - closed by close()
        self._file.setnchannels(2)
        self._file.setsampwidth(2)
        self._file.setframerate(format.rate)
        self._began: float | None = None
        self._caller = _Side(format.rate)
        self._agent = _Side(format.rate)

    def caller(self, audio: bytes, at_ms: float) -> None:
        """Audio of the caller whose last sample came at `at_ms` (monotonic clock, in ms)."""
        self._put(self._caller, audio, at_ms - self._format.duration(len(audio)))

    def agent(self, audio: bytes, at_ms: float) -> None:
        """Audio that the caller hears from `at_ms` on."""
        self._put(self._agent, audio, at_ms)

    def clear(self, at_ms: float) -> None:
        """What the agent has beyond `at_ms` was dropped."""
        self._agent.cut(self._sample(at_ms))

    def close(self) -> None:
        """Write the rest and the header's sizes. Idempotent."""
        if self._file is None:
            return
        self._write(max(self._caller.end, self._agent.end) - self._caller.start)
        file, self._file = self._file, None
        file.close()

    def _sample(self, at_ms: float) -> int:
        if self._began is None:
            self._began = at_ms
        return max(0, int((at_ms - self._began) * self._format.rate / 1000))

    def _put(self, side: _Side, audio: bytes, at_ms: float) -> None:
        if self._file is None:
            return
        pcm = samples(audio, self._format).astype("<i2", copy=False).tobytes()
        rate = self._format.rate / 1000
        side.put(pcm, self._sample(at_ms), int(_SLACK_MS * rate))
        both = min(self._caller.end, self._agent.end)
        furthest = max(self._caller.end, self._agent.end)
        ready = max(both, furthest - int(_AHEAD_MS * rate)) - self._caller.start
        if ready >= _BLOCK_MS * rate:
            self._write(ready)

    def _write(self, count: int) -> None:
        if self._file is None or count <= 0:
            return
        frames = np.empty(count * 2, dtype="<i2")
        frames[0::2] = np.frombuffer(self._caller.take(count), dtype="<i2")
        frames[1::2] = np.frombuffer(self._agent.take(count), dtype="<i2")
        self._file.writeframesraw(frames.tobytes())
