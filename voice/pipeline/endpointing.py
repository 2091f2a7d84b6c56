"""When the caller has finished a turn: silence, what the words look like, and the recogniser's finals.

Knows no clock and no loop: it is told the time (ms) with everything, answers with what to do, and says by
`deadline` when it wants to be asked again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from voice.connectors.types import Transcript

from .vad import WINDOW_MS
from .words import is_mid_thought

ONSET_WINDOWS: Final = 2  # one voiced window alone is a click
EARLY_FINALS_MS: Final = 150  # finals are asked for so long before the silence rule is met …
LEAST_PAUSE_MS: Final = 200  # … but never in a shorter pause: it would cut words apart
MID_THOUGHT_MS: Final = 800
FINAL_WAIT_MS: Final = 1000  # how long a turn with words waits for finals that do not come
STALL_MS: Final = 75  # no window for so long: the audio is late, and silence cannot be told …
STALLED_MS: Final = 300  # … until it has stopped altogether
EMPTY_WAIT_MS: Final = 6000  # and one without: a local recogniser answers only now, and slowly

Patience = Callable[[str], float]
"""A turn model: how many ms longer than the silence rule to wait after this text (negative: shorter)."""


def patience(language: str) -> Patience:
    """The model used without another: a thought that is not finished waits."""
    return lambda text: MID_THOUGHT_MS if is_mid_thought(text, language) else 0.0


class Endpoint(Enum):
    STARTED = auto()  # the caller has begun to speak
    FINALS = auto()  # ask the recogniser for them
    ENDED = auto()  # the turn is over: `text` is what was said
    DISMISSED = auto()  # there was noise, and no word in it


@dataclass(slots=True)
class _Words:
    finals: list[str]
    partial: str = ""

    @property
    def text(self) -> str:
        return " ".join([*self.finals, self.partial] if self.partial else self.finals)


class Endpointing:
    """One caller's. `window`, `transcript` and `tick` return what follows from them, mostly nothing."""

    def __init__(self, silence_ms: float, patience: Patience) -> None:
        self.silence_ms = silence_ms
        self.patience = patience
        self._owed = 0  # finish_turn calls not answered yet
        self._stale = 0  # of these, how many belong to a turn that is over
        self._onset = 0
        self._window_at: float | None = None
        self._asked_patience: tuple[Patience, str, float] | None = None  # what it said last
        self.reset()

    def reset(self) -> None:
        """Forget what was said; a new turn can begin. Answers still owed belong to the past."""
        self.talking = False
        self.last_voice = 0.0
        self.voiced_ms = 0.0  # how much voice there was in this turn, without its pauses
        self._words = _Words([])
        self._by_words = False  # no voice was heard in this turn, only words
        self._asked = False
        self._sure = False
        self._stale = self._owed
        self._onset = 0

    def forget_finals(self) -> None:
        """Another recogniser listens from now on: nothing is owed any more."""
        self._owed = self._stale = 0
        self._asked = False

    @property
    def text(self) -> str:
        """What was said so far in this turn."""
        return self._words.text

    @property
    def more_ms(self) -> float:
        """How much longer than the silence rule to wait after what was said so far (negative: shorter)."""
        text, last = self.text, self._asked_patience
        if last is None or last[0] is not self.patience or last[1] != text:
            last = self._asked_patience = (self.patience, text, self.patience(text))
        return last[2]

    def silent_for(self, now: float) -> float:
        return now - self.last_voice

    def window(self, now: float, voiced: bool) -> list[Endpoint]:
        """Take 32 ms of the caller; `voiced` is the gate's opinion."""
        self._window_at = now
        if not voiced:
            self._onset = 0
            if not self.talking:
                self.voiced_ms = 0.0
            return self.tick(now)
        self._onset += 1
        self.voiced_ms += WINDOW_MS
        if not self.talking and self._onset < ONSET_WINDOWS:
            return []
        began = not self.talking
        self.talking = True
        self.last_voice = now
        self._asked = self._sure = self._by_words = False
        return [Endpoint.STARTED] if began else []

    def transcript(self, now: float, heard: Transcript) -> list[Endpoint]:
        """Take what the recogniser says. Words begin a turn even when the gate took them for silence."""
        began = False
        if self._stale and heard.final:
            # The late answer to a turn that went on without it: its words have been used.
            self._note_closed(heard)
            return self.tick(now)
        text = heard.text.strip()
        if text and not (self._stale and not self.talking):
            began = not self.talking
            if began:
                self.talking = self._by_words = True
            if self._by_words and text != self._words.partial:
                self.last_voice = now
            if heard.final:
                self._words.finals.append(text)
                self._words.partial = ""
            else:
                self._words.partial = text
        elif heard.final:
            self._words.partial = ""
        self._sure = self._sure or heard.endpoint
        self._note_closed(heard)
        return ([Endpoint.STARTED] if began else []) + self.tick(now)

    def _note_closed(self, heard: Transcript) -> None:
        if heard.closes and self._owed:
            self._owed -= 1
            self._stale = max(0, self._stale - 1)

    def tick(self, now: float) -> list[Endpoint]:
        """Let time pass."""
        if not self.talking:
            return []
        found: list[Endpoint] = []
        silence = self.silent_for(now) + 0.01  # a timer's rounding
        if not self._asked and silence >= self._finals_after:
            self._asked = True
            self._owed += 1
            found.append(Endpoint.FINALS)
        if now + 0.01 >= self._surely(self.last_voice + self._ends_after):
            found.append(Endpoint.ENDED if self.text else Endpoint.DISMISSED)
        return found

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to say, in ms; None while nobody speaks."""
        if not self.talking:
            return None
        ends = self._surely(self.last_voice + self._ends_after)
        return ends if self._asked else min(ends, self.last_voice + self._finals_after)

    def _surely(self, at: float) -> float:
        """When it is known what the caller did until `at`: audio that is late may still hold a voice."""
        if self._window_at is None or at <= self._window_at + STALL_MS:
            return at
        return max(at, self._window_at + STALLED_MS)

    @property
    def _finals_after(self) -> float:
        return min(self.silence_ms, max(LEAST_PAUSE_MS, self.silence_ms - EARLY_FINALS_MS))

    @property
    def _ends_after(self) -> float:
        """How much silence ends the turn as things stand."""
        text = self.text
        limit = self.silence_ms
        if text and not self._sure:  # a recogniser that is sure overrules our guess about the words
            limit = max(min(limit, LEAST_PAUSE_MS), limit + self.more_ms)
        if self._asked and self._owed <= self._stale:
            return limit  # every word is in
        return limit + (FINAL_WAIT_MS if text else EMPTY_WAIT_MS)
