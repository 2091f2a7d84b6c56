"""Speaks one turn: an answer as it comes, clause by clause, or a sentence of the call's own."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from agents.providers.errors import ProviderError
from voice.connectors.types import Speech

from .dtmf_tones import tones
from .filler import Filler
from .ports import ReplyAction, ReplyDone, ReplyText, ToolUsed
from .sentences import ClauseSplitter
from .services import Services
from .setting import Setting
from .speculation import Answer
from .turn import Turn

_BRIDGE_BELOW_MS: Final = 300.0  # with more unheard audio than this, no tool needs a word


class SpeechLost(Exception):
    """No service can speak. The message is the last one's."""


class Reply:
    def __init__(
        self,
        turn: Turn,
        setting: Setting,
        services: Services,
        filler: Filler,
        *,
        busy: Callable[[], bool],
    ) -> None:
        """`busy`: whether the caller speaks just now, so that a filler would be out of place."""
        self._turn = turn
        self._setting = setting
        self._services = services
        self._speaker = services.speaker
        self._router = services.router()
        self._filler = filler
        self._busy = busy
        self._next_clause = 0

    async def speak(self, answer: Answer) -> list[ReplyAction]:
        """Say an answer. Returns what is to be done when it has been heard. Raises what the responder raises,
        and `SpeechLost`."""
        turn, setting = self._turn, self._setting
        settings = turn.config.turn
        splitter = ClauseSplitter()
        actions: list[ReplyAction] = []
        self._filler.begin(setting.now(), settings.filler, settings.filler_after_ms)
        while True:
            try:
                piece = await answer.next(self._filler.due_in(setting.now(), setting.playout.queued_ms))
            except TimeoutError:
                await self._bridge()
                continue
            match piece:
                case None:
                    break
                case ReplyText(text):
                    if answer.first_token is not None:
                        turn.stamp("first_token", answer.first_token)
                    for clause in splitter.push(text):
                        await self.say(clause)
                case ReplyAction(name, arguments):
                    for clause in splitter.flush():
                        await self.say(clause)
                    if name == "send_digits":
                        self._press(str(arguments.get("digits", "")))
                    else:
                        actions.append(piece)
                case ToolUsed(name, speak):
                    setting.log.event("tool.used", {"turn": turn.number, "tool": name})
                    if speak and setting.playout.queued_ms < _BRIDGE_BELOW_MS and not self._busy():
                        await self._utter(speak, None)
                        self._filler.said(setting.now())
                case ReplyDone():
                    turn.model = piece.model
                    turn.cost += piece.cost
        for clause in splitter.flush():
            await self.say(clause)
        return actions

    async def say(self, text: str) -> None:
        """Say a clause of the answer, through the stages of the way out."""
        spoken = await self._router.outward(text)
        if spoken.strip():
            if spoken is not text and text[-1:].isspace() and not spoken[-1:].isspace():
                spoken += " "  # a stage that strips must not glue two clauses together
            await self._utter(spoken, text)

    async def say_own(self, text: str) -> None:
        """Say a sentence of the call's own: it is in the session's language already."""
        await self._utter(text, text)

    async def _bridge(self) -> None:
        now = self._setting.now()
        if self._busy():
            self._filler.later(now)
        else:
            await self._utter(self._filler.take(now), None)

    async def _utter(self, spoken: str, written: str | None) -> None:
        """Synthesise and queue. What has no `written` form is no part of the conversation: a filler."""
        turn, playout = self._turn, self._setting.playout
        clause = self._next_clause
        self._next_clause += 1
        if written is None:
            text, start = "", len(turn.spoken)
        else:
            turn.stamp("first_clause", self._setting.now())
            text, start = spoken, turn.say(spoken, written)
        try:
            async with aclosing(self._speaker.speak(spoken, queued_ms=lambda: playout.queued_ms)) as pieces:
                async for speech in pieces:
                    self._note_connector(speech)
                    if speech.audio and written is not None:
                        turn.stamp("first_audio", self._setting.now())
                    turn.audible = turn.audible or bool(speech.audio)
                    playout.add(turn.number, clause, text, start, speech)
        except ProviderError as error:
            raise SpeechLost(str(error)) from error
        playout.end_clause(turn.number, clause)

    def _note_connector(self, speech: Speech) -> None:
        turn, services = self._turn, self._services
        if not speech.connector or speech.connector == turn.tts:
            return
        if services.voice and speech.connector != services.voice:
            payload = {"turn": turn.number, "from": services.voice, "to": speech.connector}
            self._setting.log.event("tts.fallback", payload)
        turn.tts = services.voice = speech.connector

    def _press(self, digits: str) -> None:
        """Send keys as tones, in their place between the words."""
        turn, playout = self._turn, self._setting.playout
        try:
            audio = tones(digits, self._setting.format)
        except ValueError as error:
            self._setting.log.event("error", {"turn": turn.number, "stage": "dtmf", "message": str(error)})
            return
        playout.add(turn.number, self._next_clause, "", len(turn.spoken), Speech(audio))
        playout.end_clause(turn.number, self._next_clause)
        self._next_clause += 1
        turn.audible = True
        self._setting.log.event("dtmf.sent", {"turn": turn.number, "count": len(digits)})
