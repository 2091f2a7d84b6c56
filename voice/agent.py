"""Who answers on the phone: an agent of a network, or a model with the session's prompt. Pure but for its ports.

An answer is streamed through the same chain, breakers and ledger as a step of a task. A speculative one may
ask for tools, too, but none runs before `keep`: nothing is done that could not be undone.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog

from agents.catalogue import chain_for
from agents.providers.base import complete
from agents.providers.errors import Failure, ProviderError
from agents.providers.types import Chunk, FinishReason, Message, ModelRequest, TextDelta, ToolCall
from agents.resilience.deadline import Deadlines
from agents.resilience.gateway import REHEARSAL, ModelGateway
from voice import prompts
from voice.agent_ports import AgentDesk, Background, CallContext, DeskClosed, Limits, NotThere, Profile
from voice.agent_tools import ToolBox, ToolResult, announcement
from voice.config import Connector, SessionConfig
from voice.ledger import LedgerJournal
from voice.pipeline.ports import (
    CallLog,
    NullLog,
    ReplyDone,
    ReplyPiece,
    ReplyText,
    ToolUsed,
    TurnRequest,
)
from voice.records import RecordWriter

log = structlog.get_logger(__name__)

NETWORK: Final = "network"
MOST_ROUNDS: Final = 4  # model calls of one answer
MAX_TOKENS: Final = 1024
RECALLED: Final = 6
ANSWER_SECONDS: Final = 25.0  # over all candidates; a caller does not wait longer
BACKGROUND_SECONDS: Final = 1.5
RETRY_SECONDS: Final = 2.0
TOOL_SECONDS: Final = 0.3  # to end in, when the call is over

#: For the gateway of a process that answers callers.
DEADLINES: Final = Deadlines(first_byte=6.0, idle=6.0, whole_reply=25.0)


def make_responder(
    *,
    call: CallContext,
    config: Callable[[], SessionConfig],
    gateway: ModelGateway,
    writer: RecordWriter,
    desk: AgentDesk | None = None,
    events: CallLog | None = None,
    limits: Limits | None = None,
    on_task: Callable[[str, str], None] | None = None,
) -> "AgentResponder":
    """Return who answers a call. `config` is read at each turn, so a hot update acts on the next one.

    `desk` (voice.agent_desk.NetworkDesk) is needed when the config's `llm` is `network`. `on_task` hears of
    each task that is started (id and description) in place of the responder, which would announce its result.
    """
    return AgentResponder(
        call=call,
        config=config,
        gateway=gateway,
        writer=writer,
        desk=desk,
        events=events or NullLog(),
        limits=limits,
        on_task=on_task,
    )


@dataclass(slots=True)
class _Speculation:
    """An answer that was begun early; `taken` is set when it is used after all."""

    journal: LedgerJournal
    taken: asyncio.Event = field(default_factory=asyncio.Event)


class AgentResponder:
    """A `Responder` of one call."""

    def __init__(
        self,
        *,
        call: CallContext,
        config: Callable[[], SessionConfig],
        gateway: ModelGateway,
        writer: RecordWriter,
        desk: AgentDesk | None,
        events: CallLog,
        limits: Limits | None = None,
        on_task: Callable[[str, str], None] | None = None,
    ) -> None:
        self._call = call
        self._config = config
        self._gateway = gateway
        self._writer = writer
        self._desk = desk
        self._events = events
        self._tools = ToolBox(desk, call, on_task or self.watch, limits)
        self._speculations: dict[int, _Speculation] = {}
        self._kept = 0  # the turn whose speculative answer was taken last
        self._last: Background | None = None
        self._watches: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Task[ToolResult]] = set()
        self._news: asyncio.Queue[str] = asyncio.Queue()

    async def respond(self, request: TurnRequest) -> AsyncGenerator[ReplyPiece, None]:
        config = self._config()
        llm = config.connectors["llm"]
        background = await self._background(llm, request) if _needs_network(llm) else None
        profile = background.profile if background else None
        journal = LedgerJournal(
            self._writer,
            self._call,
            agent_id=profile.agent_id if profile else "",
            turn=request.turn,
            speculative=request.speculative,
            tell=self._events.event,
        )
        taken = self._begin(request, journal)
        known = background.known if background else ()
        tools = self._tools.definitions(config)
        models = self._models(llm, profile)
        asked = ModelRequest(
            model=models[0] if models else "",
            messages=(
                Message(
                    "system",
                    prompts.system_prompt(config.system_prompt, profile, config.language, tools=bool(tools)),
                ),
                *prompts.conversation(request, known),
            ),
            tools=tools,
            **_parameters(llm, profile),
        )
        for round_ in range(MOST_ROUNDS):
            if round_ == MOST_ROUNDS - 1:
                asked = replace(
                    asked, tool_choice="none"
                )  # the tools stay: their results are in the messages
            chain = self._gateway.chain(
                self._call.project_id, models, journal, total_timeout=ANSWER_SECONDS, listening=True
            )
            chunks: list[Chunk] = []
            stream = chain.stream(asked)
            try:
                async for chunk in stream:
                    chunks.append(chunk)
                    if isinstance(chunk, TextDelta) and chunk.text:
                        yield ReplyText(chunk.text)
            finally:
                await stream.aclose()
            reply = await complete(_Played(chunks), asked)
            if reply.finish_reason is not FinishReason.TOOL_CALLS or not reply.tool_calls:
                break
            await taken.wait()
            results: list[Message] = []
            ends = False
            for call in reply.tool_calls:
                yield ToolUsed(call.name)
                result = await self._use(call, config)
                if result.farewell and not reply.text:
                    yield ReplyText(result.farewell)
                if result.action is not None:
                    yield result.action
                ends = ends or result.ends
                results.append(Message("tool", result.content, tool_call_id=call.id))
            if ends:
                break
            said = Message("assistant", reply.text, reply.tool_calls, opaque=reply.opaque)
            asked = replace(asked, messages=(*asked.messages, said, *results))
            if reply.text:
                yield ReplyText(" ")  # the next words are not to run into these
        yield ReplyDone(
            model=reply.model,
            provider=reply.provider,
            cost=journal.cost,
            input_tokens=journal.input_tokens,
            output_tokens=journal.output_tokens,
            citations=tuple(item.id for item in known),
        )

    def keep(self, turn: int) -> None:
        self._kept = turn  # the answer may not have come as far as `_begin`
        speculation = self._speculations.get(turn)
        if speculation is not None:
            speculation.journal.keep()
            speculation.taken.set()

    async def announcements(self) -> AsyncGenerator[str, None]:
        while True:
            yield await self._news.get()

    async def aclose(self) -> None:
        """Stop watching tasks, which go on without the caller; tools that run get a moment to end."""
        if self._running:
            await asyncio.wait(self._running, timeout=TOOL_SECONDS)
        jobs = [*self._running, *self._watches]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _use(self, call: ToolCall, config: SessionConfig) -> ToolResult:
        """Run a tool to its end, also when the caller interrupts: a task that was started is told of later."""
        running = asyncio.create_task(self._tools.run(call, config), name=f"tool {call.name}")
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)

    def _begin(self, request: TurnRequest, journal: LedgerJournal) -> asyncio.Event:
        """Return what must be set before tools may run."""
        self._speculations = {
            turn: other for turn, other in self._speculations.items() if turn >= request.turn
        }
        speculation = _Speculation(journal)
        if request.speculative and request.turn != self._kept:
            self._speculations[request.turn] = speculation
        else:
            if request.speculative:
                journal.keep()
            speculation.taken.set()
        return speculation.taken

    async def _background(self, llm: Connector, request: TurnRequest) -> Background:
        """Ask the network who answers and what it knows. While it cannot be asked the agent goes on from memory."""
        if self._desk is None or not self._call.network_id:
            raise ProviderError(Failure.INVALID_REQUEST, "The config names a network, and there is none.")
        agent_id = str(llm.config.get("agent_id") or "")
        try:
            async with asyncio.timeout(BACKGROUND_SECONDS):
                self._last = await self._desk.background(
                    self._call.network_id, agent_id, request.text[:1000], 0 if request.note else RECALLED
                )
        except NotThere as error:
            raise ProviderError(Failure.INVALID_REQUEST, str(error)) from error
        except (DeskClosed, TimeoutError) as error:
            log.warning("a caller is answered without the network's memory", error=str(error)[:200])
            if self._last is None:
                raise ProviderError(Failure.CONNECTION, "The network cannot be read now.") from error
            return replace(self._last, known=())
        return self._last

    def _models(self, llm: Connector, profile: Profile | None) -> Sequence[str]:
        """The models to try: of each service in its order, the one that the config names first. Rehearsal is no
        stand-in for a vendor that failed; the gateway takes it where nobody has a key.
        """
        models: list[str] = []
        named = str(llm.config.get("model") or "")
        for kind in llm.names:
            if kind == NETWORK:
                models += profile.models if profile else ()
            elif (
                kind != REHEARSAL and not (named and kind == llm.primary)
            ) or kind == llm.primary == REHEARSAL:
                models.append(self._gateway.model_of(self._call.project_id, kind))
        return chain_for(named, list(dict.fromkeys(filter(None, models))))

    def watch(self, task_id: str, description: str) -> None:
        """A task was started for this call: announce its result when there is one."""
        self._events.event("task.started", {"task_id": task_id, "description": description})
        watch = asyncio.create_task(self._announce(task_id), name=f"watch {task_id}")
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    async def _announce(self, task_id: str) -> None:
        assert self._desk is not None
        while True:
            try:
                report = await self._desk.wait_for(self._call.network_id, task_id)
            except DeskClosed:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except NotThere:
                return
            self._events.event("task.finished", {"task_id": task_id, "status": report.status})
            self._news.put_nowait(announcement(report))
            return


def _needs_network(llm: Connector) -> bool:
    return NETWORK in llm.names


def _parameters(llm: Connector, profile: Profile | None) -> dict[str, Any]:
    """Sampling as the config says, else the agent."""
    given: Mapping[str, Any] = {**(profile.parameters if profile else {}), **llm.config}
    chosen: dict[str, Any] = {"max_tokens": MAX_TOKENS}
    for name, kinds in (("max_tokens", int), ("temperature", (int, float)), ("top_p", (int, float))):
        value = given.get(name)
        if isinstance(value, kinds) and not isinstance(value, bool):
            chosen[name] = value
    return chosen


class _Played:
    """Plays back chunks, so that they are folded by the one function that does it."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None: ...
