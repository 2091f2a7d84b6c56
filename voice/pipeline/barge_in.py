"""Speech over the agent: is it an interruption? Pause early, decide soon, resume when it was nothing.

Told the time (ms) with everything; has no clock and no loop.
"""

from enum import Enum, auto
from typing import Final, Literal

from .vad import WINDOW_MS
from .words import is_backchannel

Mode = Literal["pause_then_decide", "immediate", "never"]

PAUSE_MS: Final = 96  # voiced, three windows
REAL_WITH_WORDS_MS: Final = 300
REAL_WITHOUT_MS: Final = 450
ONLY_LISTENING_MS: Final = 1500  # "yeah, yeah, yeah …" becomes an interruption after all
GAP_MS: Final = 64  # a hole this short is inside a word
QUIET_MS: Final = 160  # so much silence after a pause: it was nothing
DECIDE_MS: Final = 500  # after the onset, whatever happens
LATE_MS: Final = 3000  # how long after a sound its final may come and still interrupt


class Verdict(Enum):
    PAUSE = auto()
    REAL = auto()
    RESUME = auto()


class BargeIn:
    """One reply's. Every method returns a verdict when there is one."""

    def __init__(self, mode: Mode = "pause_then_decide") -> None:
        self.mode = mode
        self.paused = False
        self._onset = 0.0
        self._voiced = 0.0
        self._quiet = 0.0
        self._text = ""
        self._last_voice: float | None = None

    def reset(self) -> None:
        """The agent has the floor again, or nobody: forget the candidate."""
        self.paused = False
        self._voiced = self._quiet = 0.0
        self._text = ""

    @property
    def onset(self) -> float:
        """When the candidate began, in ms."""
        return self._onset

    def suspected(self, now: float) -> bool:
        """Tell whether the caller has made a sound lately, so that words may be theirs and not an echo."""
        return self._last_voice is not None and now - self._last_voice <= LATE_MS

    def window(self, now: float, voiced: bool) -> Verdict | None:
        """Take 32 ms of the caller. `voiced`: louder than the agent's echo can be, and speech."""
        if self.mode == "never":
            return None
        if not voiced:
            self._quiet += WINDOW_MS
            if not self.paused and self._quiet > GAP_MS:
                self._voiced = 0.0
            return self._settle(now)
        if not self._voiced:
            self._onset = now - WINDOW_MS
            self._text = ""
        self._voiced += WINDOW_MS
        self._quiet = 0.0
        self._last_voice = now
        if not self.paused and self._voiced >= PAUSE_MS:
            if self.mode == "immediate":
                return Verdict.REAL
            self.paused = True
            return self._settle(now) or Verdict.PAUSE
        return self._settle(now)

    def words(self, now: float, text: str, *, final: bool) -> Verdict | None:
        """Take what the recogniser says of it. A final that says something always interrupts."""
        if self.mode == "never" or not text.strip():
            return None
        if final and self.suspected(now) and not is_backchannel(text):
            return Verdict.REAL
        if self._voiced:
            self._text = text
        return self._settle(now)

    def tick(self, now: float) -> Verdict | None:
        """Let time pass: the caller's audio may have stopped coming."""
        return Verdict.RESUME if self.paused and now >= self._late_at - 0.01 and self._resume() else None

    @property
    def deadline(self) -> float | None:
        return self._late_at if self.paused else None

    @property
    def _late_at(self) -> float:
        # Windows decide while they come. Without any, half a second after the last voiced one is enough.
        return max(self._onset, self._last_voice or 0.0) + DECIDE_MS

    def _settle(self, now: float) -> Verdict | None:
        if not self.paused:
            return None
        if self._text and not is_backchannel(self._text):
            if self._voiced >= REAL_WITH_WORDS_MS:
                return Verdict.REAL
        elif self._voiced >= (ONLY_LISTENING_MS if self._text else REAL_WITHOUT_MS):
            return Verdict.REAL
        if self._quiet >= QUIET_MS or (self._quiet > GAP_MS and now - self._onset >= DECIDE_MS):
            self._resume()
            return Verdict.RESUME
        return None

    def _resume(self) -> bool:
        self.reset()
        return True
