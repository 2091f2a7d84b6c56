"""An agent that lives outside, with the text stages before it: words come back as they are written. When its stage
dies, the turn is answered by another member of its group, or by this process."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from agents.providers.errors import Failure, ProviderError
from voice.agent import AgentResponder
from voice.agent_ports import Limits
from voice.pipeline.ports import (
    Asked,
    ReplyAction,
    ReplyDone,
    ReplyPiece,
    ReplyText,
    TextStage,
    ToolUsed,
    TurnRequest,
)

from .dispatch import StageAway, Work
from .messages import read_piece, request_fields
from .outside import Outside

TRIES: Final = 2  # of members outside, for one turn
_ONCE: Final = frozenset({"remember", "start_task"})  # tools that are not to run twice


class RemoteResponder:
    """A `Responder`. `own` is the one of this process and `stages` its text stages, for when no stage outside
    answers; both share the call's `limits`."""

    def __init__(
        self, outside: Outside, own: AgentResponder, stages: Mapping[str, TextStage], limits: Limits
    ) -> None:
        self._outside = outside
        self._own = own
        self._stages = stages
        self._limits = limits
        self._kept: set[int] = set()
        self._works: dict[int, Work] = {}

    async def respond(self, request: TurnRequest) -> AsyncGenerator[ReplyPiece, None]:
        state = _Answer(request)
        services = ("llm",) if request.note else (*self._outside.run_to("llm"), "llm")
        for attempt in range(TRIES):
            try:
                async with aclosing(self._elsewhere(services[0], state)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except StageAway as error:
                services = (
                    services[services.index(error.service) :] if error.service in services else ("llm",)
                )
                again = error.reason in ("died", "gap") and attempt + 1 < TRIES and not state.final
                self._outside.away(error, "another" if again else "in process")
                if state.final:
                    message = "The agent's process was lost when it had begun to act."
                    raise ProviderError(Failure.CUT_STREAM, message, output_already_sent=True) from error
                if not again:
                    break
        for service in services[:-1]:
            if state.request.text.strip():
                text = await self._stages[service].transform(state.request.text)
                state.asked(text)
        yield Asked(state.request.text)
        if not state.request.text.strip():
            yield ReplyDone()
            return
        asked = replace(state.request, speculative=request.speculative and request.turn not in self._kept)
        rest = state.again()
        async with aclosing(self._own.respond(asked)) as own:
            async for piece in own:
                if told := rest.take(piece):
                    yield told

    def keep(self, turn: int) -> None:
        self._kept = {kept for kept in self._kept if kept >= turn - 1} | {turn}
        if (work := self._works.get(turn)) is not None:
            work.send("keep")
        self._own.keep(turn)

    def announcements(self) -> AsyncGenerator[str, None]:
        return self._own.announcements()

    async def aclose(self) -> None:
        for work in list(self._works.values()):
            work.close()
        await self._own.aclose()

    async def _elsewhere(self, service: str, state: "_Answer") -> AsyncGenerator[ReplyPiece, None]:
        request = state.request
        body = {**request_fields(request), "limits": [self._limits.started, self._limits.remembered]}
        work = self._outside.start(service, body)
        self._works[request.turn] = work
        rest = state.again()
        try:
            while True:
                message = await work.next()
                fields = message.fields
                match message.type:
                    case "accepted" if request.turn in self._kept:
                        work.send("keep")
                    case "routed":
                        state.asked(str(fields["text"]))
                        if fields["to"] == "llm":
                            yield Asked(state.request.text)
                    case "done":  # of a text stage: it took all words away
                        state.asked(str(fields["text"]))
                        yield Asked(state.request.text)
                        yield ReplyDone()
                        return
                    case "event":
                        self._outside.log.event(fields["type"], fields["payload"])
                    case "task":
                        state.final = True
                        self._limits.started.append(fields["task_id"])
                        self._own.watch(fields["task_id"], fields["description"])
                    case "piece":
                        piece = read_piece(fields)
                        state.note(piece)
                        if told := rest.take(piece):
                            yield told
                        if isinstance(piece, ReplyDone):
                            self._limits.remembered = max(self._limits.remembered, fields["remembered"])
                            return
        finally:
            if self._works.get(request.turn) is work:
                del self._works[request.turn]
            work.close()


class _Answer:
    """How far an answer has come. `final`: something was done that must not be done twice."""

    def __init__(self, request: TurnRequest) -> None:
        self.request = request
        self.final = False
        self._text = ""  # of this time
        self._told = ""

    def asked(self, text: str) -> None:
        self.request = replace(self.request, text=text)

    def note(self, piece: ReplyPiece) -> None:
        if isinstance(piece, ReplyText):
            self._text += piece.text
        elif isinstance(piece, ReplyAction) or (isinstance(piece, ToolUsed) and piece.name in _ONCE):
            self.final = True

    def again(self) -> "_Rest":
        """What is new in the answer when it is given once more."""
        self._told = max(self._told, self._text, key=len)
        self._text = ""
        return _Rest(self._told)


class _Rest:
    """Passes on what was not told yet. An answer that takes another turn is told from the sentence where it does."""

    def __init__(self, told: str) -> None:
        self._told = told
        self._seen = ""

    def take(self, piece: ReplyPiece) -> ReplyPiece | None:
        if not self._told or not isinstance(piece, ReplyText):
            return piece
        self._seen += piece.text
        told, seen = self._told, self._seen
        if told.startswith(seen):
            return None
        self._told = ""
        if seen.startswith(told):
            return ReplyText(seen[len(told) :])
        same = next((told[:n] for n in range(len(told)) if told[n] != seen[n]), "")
        sentence = max(same.rfind(mark) for mark in (". ", "! ", "? "))
        return ReplyText(" " + seen[sentence + 2 if sentence >= 0 else 0 :])
