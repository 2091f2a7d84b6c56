"""A network in memory, a call log that remembers, and scripted models for the agent on the phone."""

import asyncio
from collections.abc import Sequence
from typing import Any

from agents.providers.types import FinishReason, Reply, ToolCall, Usage
from tests.unit.resilience_world import World, now
from voice.agent import make_responder
from voice.agent_ports import Background, CallContext, Known, NotThere, Profile, TaskReport
from voice.config import TRANSPORT, Connector, Edge, SessionConfig
from voice.pipeline.ports import ReplyPiece, ReplyText, TurnRequest, Utterance
from voice.records import Kind

CALL = CallContext("project_1", "network_1", "call_1", "voice-1")
FLOW = (
    Edge("transport", "stt", "audio"),
    Edge("stt", "llm", "text"),
    Edge("llm", "tts", "text"),
    Edge("tts", "transport", "audio"),
)
PROFILE = Profile(
    agent_id="agent_1",
    name="Coordinator",
    type="coordinator",
    description="Leads.",
    system_prompt="You lead a team.",
    capabilities=("planning",),
    models=("claude-sonnet-5-5", "gpt-6-sol"),
    parameters={"temperature": 0.3},
    network={"name": "Demo", "description": "Shoes", "shared_context": {"brand": "Acme"}},
)


class Writer:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []

    def put(self, kind: Kind, row: dict[str, Any], *, urgent: bool = False) -> None:
        self.records.append((kind, row))

    def rows(self, kind: str) -> list[dict[str, Any]]:
        return [row for other, row in self.records if other == kind]


class Log:
    """A call log in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, type: str, payload: Any) -> None:
        self.events.append((type, dict(payload)))

    def turn(self, record: Any) -> None: ...

    def ended(self, summary: Any) -> None: ...

    def measure(self, name: str, value: float) -> None: ...


class Desk:
    """A network in memory. `trouble` is raised by every question while it is set."""

    def __init__(self) -> None:
        self.known: list[Known] = []
        self.remembered: list[tuple[str, str, str]] = []
        self.started: list[str] = []
        self.reports: dict[str, asyncio.Future[TaskReport]] = {}
        self.asked: list[tuple[str, int]] = []
        self.trouble: Exception | None = None
        self.open = asyncio.Event()  # while it is clear, starting a task takes time
        self.open.set()

    async def background(self, network_id: str, agent_id: str, query: str, limit: int) -> Background:
        self._answer()
        if agent_id not in ("", "agent_1"):
            raise NotThere("no such agent")
        self.asked.append((query, limit))
        return Background(PROFILE, tuple(self.known[:limit]))

    async def search(self, network_id: str, query: str, limit: int) -> Sequence[Known]:
        self._answer()
        return self.known[:limit]

    async def remember(self, network_id: str, content: str, type: str, call_id: str) -> str:
        self._answer()
        self.remembered.append((content, type, call_id))
        return "memory_9"

    async def start_task(self, network_id: str, description: str, call_id: str) -> str:
        self._answer()
        await self.open.wait()
        self.started.append(description)
        task_id = f"task_{len(self.started)}"
        self.reports[task_id] = asyncio.get_running_loop().create_future()
        return task_id

    async def task(self, network_id: str, task_id: str) -> TaskReport:
        self._answer()
        report = self.reports[task_id]
        return report.result() if report.done() else TaskReport(task_id, "It", "in_progress")

    async def wait_for(self, network_id: str, task_id: str) -> TaskReport:
        self._answer()
        return await asyncio.shield(self.reports[task_id])

    def _answer(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class AgentWorld:
    """A responder over scripted models. `config` may be replaced between turns."""

    def __init__(self, *, primary: str = "network", fallback: tuple[str, ...] = (), **options: Any) -> None:
        self.models = World()
        self.desk, self.log, self.writer = Desk(), Log(), Writer()
        self.config = session(primary, fallback, **options)
        self.responder = make_responder(
            call=CALL,
            config=lambda: self.config,
            gateway=self.models.gateway,
            writer=self.writer,
            desk=self.desk,
            events=self.log,
        )

    async def ask(self, text: str = "Hello", turn: int = 1, **options: Any) -> list[ReplyPiece]:
        return [piece async for piece in self.responder.respond(request(text, turn, **options))]

    def prompt(self, kind: str = "anthropic", number: int = -1) -> str:
        """The system prompt of a request."""
        return self.models.on(kind).requests[number].messages[0].content

    def last_user(self, kind: str = "anthropic", number: int = -1) -> str:
        messages = self.models.on(kind).requests[number].messages
        return next(message.content for message in reversed(messages) if message.role == "user")


def session(
    primary: str = "network", fallback: tuple[str, ...] = (), *, prompt: str = "Be kind.", **llm: Any
) -> SessionConfig:
    return SessionConfig(
        prompt,
        "voice_chat",
        FLOW,
        {
            "stt": Connector("local"),
            "llm": Connector(primary, fallback, llm),
            "tts": Connector("local"),
            TRANSPORT: Connector("twilio"),
        },
        network_id="network_1",
    )


def request(
    text: str,
    turn: int = 1,
    history: Sequence[Utterance] = (),
    *,
    speculative: bool = False,
    note: bool = False,
) -> TurnRequest:
    return TurnRequest(turn, text, tuple(history), speculative=speculative, note=note)


def words(pieces: Sequence[ReplyPiece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, ReplyText))


def tool_reply(name: str, text: str = "", **arguments: Any) -> Reply:
    return Reply(
        text,
        FinishReason.TOOL_CALLS,
        Usage(input=10, output=5),
        "x",
        "x",
        tool_calls=(ToolCall(f"id_{name}", name, arguments),),
    )


__all__ = ["CALL", "AgentWorld", "now", "request", "session", "tool_reply", "words"]
