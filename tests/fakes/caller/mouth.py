"""What goes into the caller's microphone, 20 ms at a time."""

import base64
from collections import deque
from collections.abc import Callable

import numpy as np

from . import sounds
from .clips import SILENT_PAYLOAD, Clip
from .ear import Ear
from .g711 import FRAME, SILENCE, decode, encode
from .line import Line

OnFrame = Callable[[bool, bool], None]


class Mouth:
    """A queue of clips over a room. The ear's sound comes back as an echo where the line has one."""

    def __init__(self, line: Line, ear: Ear) -> None:
        self._line, self._ear = line, ear
        self._queue: deque[tuple[bytes, bytes, Callable[[], None] | None]] = deque()
        self._noise = sounds.noise(line.noise_db) if line.noise_db is not None else b""
        self._place = 0
        self._plain = line.echo_db is None and not self._noise
        self._gain = 10 ** ((line.echo_db or 0.0) / 20)

    @property
    def speaking(self) -> bool:
        return bool(self._queue)

    def say(self, clip: Clip, done: Callable[[], None]) -> None:
        """Queue a clip; `done` is called when its last frame goes out."""
        last = len(clip.frames) - 1
        for number, (frame, payload) in enumerate(zip(clip.frames, clip.payloads, strict=True)):
            self._queue.append((frame, payload, done if number == last else None))

    def be_quiet(self) -> None:
        self._queue.clear()

    def frame(self, at: float) -> tuple[bytes, bool, Callable[[], None] | None]:
        """The next 20 ms, in base64; whether the caller speaks in it; what to call when it has been sent."""
        frame, payload, done = self._queue.popleft() if self._queue else (SILENCE, SILENT_PAYLOAD, None)
        speaks = frame is not SILENCE
        if not self._plain:
            payload = base64.b64encode(self._mixed(frame, at))
        return payload, speaks, done

    def _mixed(self, frame: bytes, at: float) -> bytes:
        mixed = decode(frame).astype(np.float64)
        if self._noise:
            self._place = (self._place + FRAME) % (len(self._noise) - FRAME)
            mixed += decode(self._noise[self._place : self._place + FRAME])
        if self._line.echo_db is not None:
            mixed += decode(self._ear.between(at - self._line.echo_ms / 1000, FRAME)) * self._gain
        # The lowest bits stay as they were said: that is where the words are (tests/fakes/stamps.py).
        out = np.frombuffer(encode(mixed), np.uint8)
        if frame is not SILENCE:
            out = out & np.uint8(0xFE) | np.frombuffer(frame, np.uint8) & np.uint8(1)
        return out.tobytes()
