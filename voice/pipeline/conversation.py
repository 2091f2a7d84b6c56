"""Who has the floor: what the caller's sounds, words and keys mean for the turn that is, or the next one."""

from dataclasses import replace
from typing import Final

from agents.providers.errors import ProviderError
from voice.connectors.types import Transcript

from .alarm import Alarm
from .barge_in import BargeIn, Verdict
from .echo import EchoGuard
from .ending import Ending
from .endpointing import Endpoint, Endpointing, Patience, patience
from .exchanges import Exchanges
from .floor import Floor
from .gate import Gate
from .hearing import Hearing, OpenListener
from .keys import Keys
from .opening import Opening
from .own_voice import OwnVoice
from .phrases import phrases
from .script import Script
from .setting import Setting
from .turn import Turn
from .vad import Window
from .words import is_backchannel

_GUESS_AFTER_MS: Final = 64.0  # so much silence, and an answer may be begun
_HEARD_NO_MORE_MS: Final = 200.0
_QUIET_MS: Final = 500.0  # before the agent speaks of its own accord
_MURMUR_MS: Final = 1500.0  # a "yes" over the agent's last words is an answer to them
_SPEECH_MS: Final = 500.0  # so much voice is no cough: somebody said something
_ARM_EVERY: Final = 8  # windows in which nobody speaks: what changes meanwhile arms by itself
_PARDONS: Final = 2  # in a row; who is not understood then is a television
_GO_ON: Final = (
    "A sound on the line interrupted you, but the caller said nothing. "
    "Go on with your answer from where you were interrupted."
)


class Conversation:
    """One call's. Plain methods only; what takes time is a task of `setting.tasks`."""

    def __init__(
        self, setting: Setting, open_listener: OpenListener, turn_model: Patience | None = None
    ) -> None:
        self._setting = setting
        self._turn_model = turn_model
        self.hearing = Hearing(
            open_listener,
            setting.format,
            setting.tasks,
            setting.clock,
            on_transcript=self._transcript,
            on_renewed=self._renewed,
            on_lost=self.deaf,
        )
        self.exchanges = Exchanges(setting, self.hearing, busy=lambda: self._talks, on_over=self._over)
        self.ending = Ending(setting, self.exchanges)
        self.opening = Opening(setting, self.exchanges, on_voicemail=self._hush)
        self._guard = EchoGuard(setting.playout.outbound_level_db)
        self._gate = Gate()
        self._keys = Keys()
        self.floor = Floor(setting, self.exchanges, self.ending, busy=lambda: self._occupied)
        self.script = Script(setting, self.exchanges, self.ending, self.floor)
        self._keys.enough = self.floor.enough
        self._ends = Endpointing(0.0, lambda text: 0.0)
        self._barge = BargeIn()
        self._talks = False
        self._held: tuple[str, float] | None = None  # what the caller said when nothing may interrupt
        self._murmur = ("", 0.0)
        self._own = OwnVoice()
        self._cut_short = False  # the agent was, and the caller has said nothing yet
        self._pardons = 0
        self._alarm = Alarm(setting.now, self._tick)
        self._quiet = 0  # windows since the caller was heard
        self._version = -1
        self._service = ""
        self.false_interruptions = 0
        self._configure()

    # ---- what comes in ------------------------------------------------------------------------

    def window(self, window: Window) -> None:
        """Take 32 ms of the caller."""
        now = window.at_ms
        voiced = self._gate.voiced(window, self._guard.window(now, window.level_db))
        self.opening.window(now, voiced)
        if self._interruptible:
            self._judge(self._barge.window(now, voiced), now)
        for step in self._ends.window(now, voiced):
            self._follow(step, now)
        self._note_talking(now)
        self._guess(now)
        self._quiet = 0 if voiced or self._ends.talking or self._barge.paused else self._quiet + 1
        if self._quiet % _ARM_EVERY == 0:
            self._arm()

    def _transcript(self, heard: Transcript) -> None:
        now = self._setting.now()
        text = heard.text.strip()
        self._note_service()
        if text:
            self.opening.words(text)
            if not heard.final:
                self._setting.log.event("transcript.partial", {"text": text})
        if text and not self._believes(text, now):
            heard = replace(heard, text="")  # the agent's own voice come back
        elif text and self._interruptible:
            self._judge(self._barge.words(now, text, final=heard.final), now)
        for step in self._ends.transcript(now, heard):
            self._follow(step, now)
        self._guess(now)
        self._arm()

    def digit(self, key: str) -> None:
        """A key was pressed: the hand interrupts as the voice does, but at once."""
        now = self._setting.now()
        self.ending.active(now)
        self.floor.active(now)
        if self._interruptible:
            self.exchanges.interrupt(now)
        self._pressed(self._keys.press(now, key))
        self._arm()

    def announce(self, text: str) -> None:
        """The agent is to be told something, and to pass it on when nobody speaks."""
        self.exchanges.notes.append(text)
        self._arm()

    # ---- what it means ------------------------------------------------------------------------

    @property
    def _occupied(self) -> bool:
        """The caller is saying or keying something."""
        return self._ends.talking or self._keys.deadline is not None

    @property
    def _interruptible(self) -> bool:
        turn = self.exchanges.turn
        return turn is not None and not turn.fixed and self._barge.mode != "never"

    def _believes(self, text: str, now: float) -> bool:
        """Whether these words are the caller's, and not the agent's own, come back by the line."""
        voice = self._ends.talking or self._barge.suspected(now)
        if voice and self.floor.expects(text):
            return True  # an answer is often made of the question's own words
        return not self._own.is_in(text, now, self.exchanges.turn, voice=voice)

    def _judge(self, verdict: Verdict | None, now: float) -> None:
        playout, turn = self._setting.playout, self.exchanges.turn
        if verdict is None or turn is None:
            return
        if verdict is Verdict.PAUSE:
            playout.pause()
        elif verdict is Verdict.RESUME:
            playout.resume()
            if turn.audible:
                self.false_interruptions += 1
                payload = {"turn": turn.number, "after_ms": round(now - self._barge.onset)}
                self._setting.log.event("agent.resumed", payload)
        else:
            self._cut_short = self.opening.done
            self.exchanges.interrupt(self._setting.now())
            self._barge.reset()

    def _follow(self, step: Endpoint, now: float) -> None:
        if step is Endpoint.STARTED:
            self._configure()
            self._setting.tasks.spawn(self.exchanges.services.warm(), "warm")  # the answer comes soon
        elif step is Endpoint.FINALS:
            self.hearing.finish_turn()
        elif step is Endpoint.ENDED:
            text, last = self._ends.text, self._ends.last_voice
            self._ends.reset()
            self._said(text, last, now)
        elif step is Endpoint.DISMISSED:
            spoken = self._ends.voiced_ms >= _SPEECH_MS
            self._ends.reset()
            self.exchanges.speculation.drop()
            if self.floor.led:
                if self._cut_short or spoken:
                    self.floor.not_understood(cut_short=self._cut_short)
            elif self._cut_short and self.exchanges.turn is None:
                self.exchanges.notes.append(_GO_ON)
            elif spoken:
                self._not_understood()
            self._cut_short = False

    def _not_understood(self) -> None:
        """The caller has spoken, and the recogniser made no word of it."""
        self._setting.log.event("transcript.empty", {})
        if not self.exchanges.at_rest or self.ending.begun or not self.opening.done or self.exchanges.notes:
            return
        self._pardons += 1
        if self._pardons <= _PARDONS:
            self.exchanges.say(phrases(self._setting.config().language).pardon)

    def _said(self, text: str, voice_end: float, now: float) -> None:
        """The caller has finished saying `text`."""
        self.ending.active(now)
        self._cut_short = False
        self._pardons = 0
        turn = self.exchanges.turn
        log = self._setting.log
        if self.ending.begun or self.opening.machine:
            return
        if turn is not None and not self.opening.expects(text) and not self.floor.expects(text):
            if turn.fixed or self._barge.mode == "never":
                self._hold(text, voice_end)
                return
            if is_backchannel(text):
                self._murmur = (text, now)
                log.event("transcript.final", {"text": text, "backchannel": True})
                return
            self.exchanges.interrupt(now)
            self._barge.reset()
        log.event("transcript.final", {"text": text})
        self._reply_to(text, voice_end)

    def _reply_to(self, text: str, voice_end: float) -> None:
        if not self.opening.takes(text) and not self.floor.takes(text):
            self._answer(text, voice_end)

    def _answer(self, text: str, voice_end: float) -> None:
        self._configure()
        self._barge.reset()
        self.exchanges.answer(text, voice_end)

    def _hold(self, text: str, voice_end: float) -> None:
        """Answer this when the agent has finished."""
        self._held = (f"{self._held[0]} {text}" if self._held else text, voice_end)

    def _pressed(self, digits: str | None) -> None:
        if digits is None or self.ending.begun:
            return
        settings = self._setting.config().turn
        shown = {"count": len(digits)} if settings.redact else {"digits": digits}
        self._setting.log.event("dtmf.received", shown)
        if self.opening.takes_digits(digits) or self.floor.takes_keys(digits):
            return
        if self.exchanges.turn is not None:
            self._hold(digits, self._setting.now())
        else:
            self._answer(digits, self._setting.now())

    def _over(self, turn: Turn, heard: str) -> None:
        """A turn is over: does somebody wait for that?"""
        now = self._setting.now()
        self._own.finished(now, turn)
        self._barge.reset()
        self._setting.playout.resume()
        if turn.note and heard:
            self._setting.log.event("announcement.spoken", {"turn": turn.number, "heard": heard})
        self.ending.turn_over(now, turn)
        murmured, at = self._murmur
        self._murmur = ("", 0.0)
        if self.exchanges.turn is None and not self.ending.begun:
            if self._held is not None:
                (text, voice_end), self._held = self._held, None
                self._reply_to(text, voice_end)
            elif murmured and now - at <= _MURMUR_MS and not turn.interrupted and heard.endswith("?"):
                self._reply_to(murmured, at)
        self.opening.turn_over(turn)
        self.floor.turn_over(turn, heard)
        self._arm()

    # ---- guesses, silence, the end ------------------------------------------------------------

    def _guess(self, now: float) -> None:
        """Begin to answer what the caller has probably finished saying."""
        ends, speculation = self._ends, self.exchanges.speculation
        if not ends.talking:
            return
        text = ends.text
        speculation.heard(text)
        if (
            text
            and ends.silent_for(now) >= _GUESS_AFTER_MS
            and self.exchanges.at_rest
            and self.opening.done
            and not self.floor.led
            and not self.ending.begun
        ):
            config = self._setting.config()
            if config.turn.speculate and ends.more_ms <= 0:
                speculation.offer(text, config.version)

    def _note_talking(self, now: float) -> None:
        self._talks = self._ends.talking and self._ends.silent_for(now) < _HEARD_NO_MORE_MS
        if self._talks:
            self.ending.active(now)
            self.floor.active(now)
        self.hearing.speaking(self._talks)

    def _note_service(self) -> None:
        service = self.hearing.connector
        if service != self._service:
            usual = self._service or next(iter(self.hearing.connectors), service)
            if service != usual:
                self._setting.log.event("stt.fallback", {"from": usual, "to": service})
            self._service = service

    def _renewed(self) -> None:
        self._service = ""
        self._ends.forget_finals()

    def deaf(self, error: ProviderError) -> None:
        self._setting.log.event("error", {"stage": "stt", "message": str(error)})
        self.ending.deaf()

    def _hush(self) -> None:
        """A machine listens: what is being said is not for it."""
        self.exchanges.speculation.drop()
        self.exchanges.interrupt(self._setting.now())

    # ---- time ---------------------------------------------------------------------------------

    def _configure(self) -> None:
        """Take turns by the config as it is now."""
        config = self._setting.config()
        if config.version == self._version:
            return
        self._version = config.version
        self._ends.silence_ms = config.turn.silence_ms
        self._ends.patience = self._turn_model or patience(config.language)
        self._barge.mode = config.turn.interrupt
        self._keys.timeout_ms = config.turn.dtmf_timeout_ms

    def _quiet_at(self) -> float | None:
        """When the agent may speak of its own accord; None while somebody else has the floor."""
        if not self.exchanges.at_rest or self._ends.talking or self.ending.begun or not self.opening.done:
            return None
        if self.floor.led:  # it has a patience of its own
            return None
        return self.ending.quiet_from + _QUIET_MS

    def _deadline(self) -> float | None:
        quiet = self._quiet_at()
        times = (
            self._ends.deadline,
            self._barge.deadline,
            self._keys.deadline,
            self.opening.deadline,
            quiet if self.exchanges.notes else None,
            self.ending.idle_at if quiet is not None else None,
        )
        return min((time for time in times if time is not None), default=None)

    def _arm(self) -> None:
        if self.opening.done:
            self.script.open()
        self._alarm.set(self._deadline())

    def _tick(self) -> None:
        now = self._setting.now()
        if self._interruptible:
            self._judge(self._barge.tick(now), now)
        for step in self._ends.tick(now):
            self._follow(step, now)
        self._pressed(self._keys.tick(now))
        self.opening.tick(now)
        quiet = self._quiet_at()
        if quiet is not None and now >= quiet - 0.01:
            if self.exchanges.notes:
                self._configure()
                self.exchanges.answer(self.exchanges.notes.pop(0), now, note=True)
            elif now >= self.ending.idle_at - 0.01:
                self.ending.idle()
        self._arm()

    def start(self) -> None:
        self.ending.active(self._setting.now())
        self.opening.start()
        self.script.start()
        self._arm()

    def close(self) -> None:
        """Stop the clocks and write down what was under way."""
        self._alarm.close()
        self.ending.close()
        self.exchanges.close()
