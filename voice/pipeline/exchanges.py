"""The turns of one call: begun, spoken, finished or cut short, and what follows from each."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from agents.providers.errors import ProviderError
from voice.config import SessionConfig

from .actions import perform
from .filler import Filler
from .hearing import Hearing
from .history import History
from .phrases import phrases
from .ports import Asked, ReplyAction, ReplyDone, ReplyPiece, TransportClosed, TurnRequest
from .reply import Reply, SpeechLost
from .services import Services
from .setting import Setting
from .speculation import Answer, Speculation
from .turn import Turn

log = logging.getLogger(__name__)


class Exchanges:
    """One turn at a time. `on_over` is called after each, with what was heard; `busy` tells whether the
    caller is speaking."""

    def __init__(
        self,
        setting: Setting,
        hearing: Hearing,
        *,
        busy: Callable[[], bool],
        on_over: Callable[[Turn, str], None],
    ) -> None:
        self._setting = setting
        self._hearing = hearing
        self._busy = busy
        self._on_over = on_over
        self._filler = Filler()
        self._task: asyncio.Task[None] | None = None
        self._cutting: asyncio.Task[None] | None = None
        self._cut_turns: list[Turn] = []  # not written down yet
        self.services = Services(setting, hearing)
        self.history = History()
        self.speculation = Speculation(self._guess, lambda: setting.log.event("speculation.dropped", {}))
        self.turn: Turn | None = None
        self.notes: list[str] = []  # what the agent is to be told when nobody speaks
        self.count = 0
        self.interruptions = 0

    # ---- begin --------------------------------------------------------------------------------

    @property
    def at_rest(self) -> bool:
        """No turn is under way, nor being cut short."""
        return self.turn is None and (self._cutting is None or self._cutting.done())

    def answer(self, text: str, voice_end: float, *, note: bool = False) -> Turn:
        """Answer the caller, or let the agent tell what a note says."""
        config = self._setting.config()
        guess = None if note else self.speculation.take(text, config.version)
        turn = self._new_turn(config, voice_end, caller_text="" if note else text, note=note)
        turn.speculative = guess is not None
        if guess is not None:
            self._setting.responder.keep(turn.number)
            self._setting.log.event("speculation.kept", {"turn": turn.number})
        self._start(turn, text, guess)
        return turn

    def say(self, text: str, *, caller_text: str = "", fixed: bool = False) -> Turn:
        """Say a sentence of the call's own. `fixed`: nothing interrupts it."""
        self.speculation.drop()
        now = self._setting.now()
        turn = self._new_turn(self._setting.config(), now, caller_text=caller_text, scripted=True)
        turn.fixed = fixed
        self._start(turn, text, None)
        return turn

    def _new_turn(
        self,
        config: SessionConfig,
        voice_end: float,
        *,
        caller_text: str,
        note: bool = False,
        scripted: bool = False,
    ) -> Turn:
        self.count += 1
        turn = Turn(self.count, config, voice_end, self._setting.wall(), caller_text, note, scripted)
        turn.stt = self._hearing.connector
        turn.stamp("stt_final", self._setting.now())
        self.turn = turn
        return turn

    def _start(self, turn: Turn, text: str, guess: Answer | None) -> None:
        turn.answer = guess
        self._task = self._setting.tasks.spawn(self._run(turn, text), f"turn {turn.number}")

    def _guess(self, text: str) -> Answer:
        request = TurnRequest(self.count + 1, text, self.history.utterances(), speculative=True)
        return self._ask(request)

    def _ask(self, request: TurnRequest) -> Answer:
        answer: Answer

        async def pieces() -> AsyncGenerator[ReplyPiece, None]:
            text = request.text if request.note else await self.services.router().inward(request.text)
            answer.asked = text
            if not text.strip():  # a stage took it all away: there is nothing to answer
                yield ReplyDone()
                return
            async with aclosing(self._setting.responder.respond(replace(request, text=text))) as reply:
                async for piece in reply:
                    if isinstance(piece, Asked):
                        answer.asked = piece.text
                    else:
                        yield piece

        answer = Answer(pieces(), self._setting.now, self._setting.tasks)
        return answer

    # ---- speak --------------------------------------------------------------------------------

    async def _run(self, turn: Turn, text: str) -> None:
        setting = self._setting
        if self._cutting is not None:
            await asyncio.wait({self._cutting})  # its line comes before ours in the history
        await self.services.renew()
        setting.log.event("turn.started", {"turn": turn.number, "text": turn.caller_text, "note": turn.note})
        earlier = self.history.utterances()
        if turn.note:
            turn.line = self.history.add("note", text)
        elif turn.caller_text:
            turn.line = self.history.add("caller", turn.caller_text)
        reply = Reply(turn, setting, self.services, self._filler, busy=self._busy)
        actions: list[ReplyAction] = []
        try:
            if turn.scripted:
                await reply.say_own(text)
            else:
                actions = await self._speak(
                    turn, reply, TurnRequest(turn.number, text, earlier, note=turn.note)
                )
        except SpeechLost as error:
            turn.error = str(error)
            setting.log.event("error", {"turn": turn.number, "stage": "tts", "message": turn.error})
            self._finish(turn)
            setting.failed(turn.error)
            return
        setting.playout.end_turn(turn.number)
        await setting.playout.drained(turn.number)
        for action in actions:
            if told := await perform(setting, turn, action):
                self.notes.append(told)
        self._finish(turn)

    async def _speak(self, turn: Turn, reply: Reply, request: TurnRequest) -> list[ReplyAction]:
        try:
            if turn.answer is None:
                turn.answer = self._ask(request)
            actions = await reply.speak(turn.answer)
        except (SpeechLost, TransportClosed):
            raise
        except Exception as error:
            if not isinstance(error, ProviderError):
                log.exception("an answer failed")
            turn.error = str(error) or type(error).__name__
            self._setting.log.event("error", {"turn": turn.number, "stage": "llm", "message": turn.error})
            await reply.say_own(phrases(turn.config.language).apology)
            return []
        goodbye = turn.config.turn.goodbye
        if goodbye and not turn.clauses and any(action.name == "hang_up" for action in actions):
            await reply.say_own(goodbye)
        return actions

    # ---- end ----------------------------------------------------------------------------------

    def interrupt(self, decided: float) -> None:
        """The caller takes the floor: nothing more is said of this turn."""
        turn = self.turn
        if turn is None or self._task is None:
            return
        self.turn = None
        turn.interrupted = True
        self._stop(turn)
        self._cut_turns.append(turn)
        self._cutting = self._setting.tasks.spawn(self._cut(turn, decided), f"cut {turn.number}")

    def _stop(self, turn: Turn) -> None:
        if self._task is not None:
            self._task.cancel()
        if turn.answer is not None:
            turn.answer.cancel()

    async def _cut(self, turn: Turn, decided: float) -> None:
        setting = self._setting
        try:
            await setting.playout.clear()
        except TransportClosed:
            setting.end("transport_lost")
        if turn.audible:
            setting.log.measure("barge_in_ms", setting.now() - decided)
            self.interruptions += 1
        self._cut_turns.remove(turn)
        heard = self._write(turn)
        if turn.audible:
            setting.log.event("agent.interrupted", {"turn": turn.number, "heard": heard})
        self._on_over(turn, heard)

    def _finish(self, turn: Turn) -> None:
        if self.turn is turn:
            self.turn = None
            self._on_over(turn, self._write(turn))

    def _write(self, turn: Turn) -> str:
        """Put a turn down in the history and in the log, as it was heard."""
        heard = self._setting.playout.heard(turn.number)
        if turn.line is not None and turn.answer is not None and turn.answer.asked:
            turn.line.say(turn.answer.asked)
        self.history.add("agent", turn.heard_as_written(heard))
        record = turn.record(heard)
        self._setting.log.turn(record)
        payload = {"turn": turn.number, "heard": record.heard_text, "latencies": record.latencies}
        self._setting.log.event("turn.completed", payload)
        return record.heard_text

    def note_sent(self) -> None:
        """Audio has gone out to the caller."""
        if self.turn is not None and "first_audio" in self.turn.latencies:  # a filler is no answer
            self.turn.stamp("first_frame", self._setting.now())

    def close(self) -> None:
        """The call is over: write down what was under way."""
        self.speculation.drop()
        for turn in self._cut_turns:
            self._write(turn)
        if (last := self.turn) is not None:
            self.turn = None
            last.interrupted = True
            self._stop(last)
            self._write(last)
