"""How a call begins: who took it, may it be recorded, and the greeting."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from .exchanges import Exchanges
from .phrases import phrases
from .setting import Setting
from .turn import Turn
from .voicemail import VoicemailDetector
from .words import words

_CALLEE_FIRST_MS: Final = 2500.0  # who is called speaks first; then we do
_CONSENT_MS: Final = 8000.0  # after the question
_TONE_WAIT_MS: Final = 30_000.0


class _Stage(Enum):
    CALLEE = auto()  # an outbound call: somebody will say "hello?"
    ASKING = auto()  # the question about the recording is being said
    CONSENT = auto()  # … and was heard
    MACHINE = auto()  # voicemail: the message waits for the tone
    MESSAGE = auto()  # … and is being said
    DONE = auto()


class Opening:
    """`on_voicemail` is called when a machine was found and something is to be done about it."""

    def __init__(self, setting: Setting, exchanges: Exchanges, *, on_voicemail: Callable[[], None]) -> None:
        self._setting = setting
        self._exchanges = exchanges
        self._on_voicemail = on_voicemail
        self._stage = _Stage.DONE
        self._turn: Turn | None = None
        self._deadline: float | None = None
        self.detector = VoicemailDetector() if setting.outbound else None
        self.record: Callable[[], None] = lambda: None

    @property
    def done(self) -> bool:
        return self._stage is _Stage.DONE

    @property
    def machine(self) -> bool:
        """Whether a machine listens and nobody is to be answered."""
        return self._stage in (_Stage.MACHINE, _Stage.MESSAGE)

    @property
    def deadline(self) -> float | None:
        return self._deadline

    def start(self) -> None:
        if self._setting.outbound:
            self._enter(_Stage.CALLEE, _CALLEE_FIRST_MS)
        else:
            self._begin("")

    def _enter(self, stage: _Stage, limit_ms: float | None = None) -> None:
        self._stage = stage
        self._deadline = None if limit_ms is None else self._setting.now() + limit_ms

    def _begin(self, said: str) -> None:
        """Ask for what must be asked, or greet. `said`: what the other side has said before."""
        settings = self._setting.config().turn
        if settings.record and settings.consent_prompt:
            self._turn = self._exchanges.say(settings.consent_prompt, caller_text=said)
            self._enter(_Stage.ASKING)
        else:
            self._greet(said)

    def _greet(self, said: str) -> None:
        self._enter(_Stage.DONE)
        if greeting := self._setting.config().turn.greeting:
            self._exchanges.say(greeting, caller_text=said)

    # ---- what the other side does ---------------------------------------------------------------

    def expects(self, text: str) -> bool:
        """Tell whether these words are awaited even while we speak: a yes or a no to the recording."""
        return self._stage in (_Stage.ASKING, _Stage.CONSENT) and self._opinion(text) is not None

    def _opinion(self, text: str) -> bool | None:
        own = phrases(self._setting.config().language)
        said = set(words(text))
        if said & own.no:
            return False
        return True if said & own.yes else None

    def takes(self, text: str) -> bool:
        """Take what the caller said, if it belongs to the beginning; else the agent answers it."""
        if self._stage is _Stage.CALLEE:
            if not self._setting.config().turn.greeting:
                self._enter(_Stage.DONE)
                return False
            self._begin(text)
            return True
        if self._stage not in (_Stage.ASKING, _Stage.CONSENT):
            return False
        opinion = self._opinion(text)
        if opinion is None:  # something else: no consent, and an answer is owed
            self._enter(_Stage.DONE)
            return False
        self._consent(opinion, text)
        return True

    def takes_digits(self, digits: str) -> bool:
        if self._stage not in (_Stage.ASKING, _Stage.CONSENT):
            return False
        self._consent(digits == "1", digits)
        return True

    def _consent(self, given: bool, said: str) -> None:
        if self._exchanges.turn is not None:
            self._exchanges.interrupt(self._setting.now())
        if given:
            self.record()
        self._greet(said)

    def turn_over(self, turn: Turn) -> None:
        if turn is not self._turn:
            return
        self._turn = None
        if self._stage is _Stage.ASKING:
            self._enter(_Stage.CONSENT, _CONSENT_MS)
        elif self._stage is _Stage.MESSAGE:
            self._setting.end("voicemail")

    def tick(self, now: float) -> None:
        if self._deadline is None or now < self._deadline - 0.01:
            return
        self._deadline = None
        if self._stage is _Stage.CALLEE:
            self._begin("")
        elif self._stage is _Stage.CONSENT:
            self._greet("")
        elif self._stage is _Stage.MACHINE:
            self._leave_message()

    # ---- machines -------------------------------------------------------------------------------

    def window(self, now: float, voiced: bool) -> None:
        if voiced and self._stage is _Stage.CALLEE:
            self._deadline = now + _CALLEE_FIRST_MS
        detector = self.detector
        if detector is None:
            return
        detector.window(now, voiced)
        if detector.detected and not self.machine:
            self._found(detector)
        if self._stage is _Stage.MACHINE and detector.ready(now):
            self._leave_message()
        elif detector.over(now):
            self.detector = None

    def words(self, text: str) -> None:
        if self.detector is not None:
            self.detector.words(text)

    def _found(self, detector: VoicemailDetector) -> None:
        settings = self._setting.config().turn
        payload = {"by": detector.detected, "policy": settings.voicemail}
        self._setting.log.event("voicemail.detected", payload)
        if settings.voicemail == "ignore":
            self.detector = None
            return
        self._on_voicemail()
        if settings.voicemail == "hang_up" or not settings.voicemail_message:
            self._setting.end("voicemail")
        else:
            self._enter(_Stage.MACHINE, _TONE_WAIT_MS)

    def _leave_message(self) -> None:
        self._enter(_Stage.MESSAGE)
        message = self._setting.config().turn.voicemail_message
        self._turn = self._exchanges.say(message, fixed=True)
