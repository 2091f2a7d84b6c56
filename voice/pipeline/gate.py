"""Whether a window is the caller speaking: the model's opinion, held a little, and louder than echo and room."""

from typing import Final

from .vad import Window

_BEGINS: Final = 0.5
_GOES_ON: Final = 0.35  # the ends of words are faint
_NO_SPEECH: Final = 0.2  # below it, a window shows how loud the room is
_ROOM_DB: Final = 6.0  # a voice is that much louder than the room
_ROOM_AT_MOST_DB: Final = -35.0  # a louder room would hide too much: the model is trusted alone
_RATES: Final = (0.5, 0.05)  # how fast the room is learnt: at first, and for good
_FALL_DB: Final = 1.0  # a window: what an echo asks for falls slowly


class Gate:
    """One caller's.

    The model remembers an echo for a while, and takes the room in the agent's next breath for speech. Hence
    the room's own level, and a threshold that outlasts breaths.
    """

    def __init__(self) -> None:
        self._open = False
        self._room: float | None = None
        self._rate = _RATES[0]
        self._threshold = -96.0

    def voiced(self, window: Window, threshold_db: float) -> bool:
        """`threshold_db`: what `EchoGuard.window` asks of this window."""
        if window.probability < _NO_SPEECH:
            self._learn(min(window.level_db, _ROOM_AT_MOST_DB))
        self._threshold = max(threshold_db, self._threshold - _FALL_DB)
        enough = window.probability >= (_GOES_ON if self._open else _BEGINS)
        wanted = self._threshold if self._room is None else max(self._threshold, self._room + _ROOM_DB)
        self._open = enough and window.level_db >= wanted
        return self._open

    def _learn(self, level: float) -> None:
        room = level if self._room is None else self._room
        self._room = room + (level - room) * self._rate
        self._rate = max(_RATES[1], self._rate * 0.9)
