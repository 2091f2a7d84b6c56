"""The process at the other end: takes works of its kinds, does them, and hands on to the next consumer by itself.

Whoever is next is what the session's config says (`SessionConfig.next_of`), so a stage that is put into the flow
is reached without anything being started or changed here. Between the recogniser and the agent, and between the
agent and the voice, stands the call itself where no stage does: it takes turns and cuts clauses.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from agents.resilience.gateway import ModelGateway
from voice.agent import make_responder
from voice.agent_ports import AgentDesk, CallContext, Limits
from voice.config import SessionConfig
from voice.connectors.gateway import SpeechGateway
from voice.pipeline.ports import NullLog, ReplyDone
from voice.records import RecordWriter
from voice.speech_options import stt_options, tts_options
from voice.stages_text import make_stages

from . import messages
from .messages import Job, Message, Unreadable
from .subjects import CORE, KINDS, PING, QUEUE, Subjects, kind_of, last

log = structlog.get_logger(__name__)

MOST: Final = 500  # works at once
WINDOW: Final = 100  # audio messages that the call may leave unheard: six seconds
LONGEST_SECONDS: Final = 90.0  # of a turn's work; listening has no limit
_HEARD_EVERY: Final = 50
_PATROL_SECONDS: Final = 2.0


class Wire(Protocol):
    """`Link`, as far as a stage needs it."""

    def publish(self, subject: str, data: bytes, reply: str = "") -> bool: ...

    async def subscribe(self, subject: str, handler: Callable[[Any], None], queue: str = "") -> Any: ...


class Configs(Protocol):
    """Where a stage reads the config of a work's session."""

    async def get(self, job: Job) -> SessionConfig:
        """The config at the job's version, or a newer one. Raises `LookupError`."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What stages work with: the parts of a voice process that need no caller."""

    models: ModelGateway
    speech: SpeechGateway
    writer: RecordWriter
    desk: AgentDesk


class StageService:
    """One member of the queue groups of its kinds. `start` and `drain` on the loop; `name` is unique."""

    def __init__(
        self,
        kinds: tuple[str, ...],
        *,
        name: str,
        wire: Wire,
        subjects: Subjects,
        tools: Tools,
        configs: Configs,
    ) -> None:
        if unknown := set(kinds) - set(KINDS):
            raise ValueError(f"There are no such stages: {sorted(unknown)}.")
        self.name = name
        self.done = 0
        self._kinds = kinds
        self._wire = wire
        self._subjects = subjects
        self._tools = tools
        self._configs = configs
        self._works: dict[str, _Running] = {}
        self._subscriptions: list[Any] = []
        self._patrol: asyncio.Task[None] | None = None

    @property
    def active(self) -> int:
        return len(self._works)

    async def start(self) -> None:
        """Take works from now on."""
        await self._wire.subscribe(self._subjects.at(self.name), self._more)
        for kind in self._kinds:
            self._subscriptions.append(
                await self._wire.subscribe(self._subjects.stage(kind), self._take, queue=QUEUE)
            )
        self._patrol = asyncio.create_task(self._ask_for_callers(), name="stage-patrol")

    async def drain(self, seconds: float) -> None:
        """Take no more works, and end those that are left after so many seconds; their calls go elsewhere."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        works = [running.task for running in self._works.values()]
        if works:
            await asyncio.wait(works, timeout=seconds)
        for task in works:
            task.cancel()
        if self._patrol is not None:
            self._patrol.cancel()
            works.append(self._patrol)
        await asyncio.gather(*works, return_exceptions=True)

    async def _ask_for_callers(self) -> None:
        """A voice process may have died, or forgotten a work: whoever is not there is not worked for."""
        while True:
            await asyncio.sleep(_PATROL_SECONDS)
            for running in self._works.values():
                running.ask(self._subjects.at(self.name, running.job.id))

    def _take(self, message: Any) -> None:
        try:
            job = Job.unpack(message.data)
        except Unreadable as error:
            log.warning("a work cannot be read", error=str(error))
            return
        if len(self._works) < MOST:  # else nobody accepts, and the call does it
            running = _Running(job, message.reply, self._post)
            self._works[job.id] = running
            running.say("accepted", at=self.name, service=job.service)
            running.task = asyncio.create_task(self._work(running), name=f"{job.service} {job.id}")

    def _more(self, message: Any) -> None:
        token = last(message.subject)
        if token == PING:
            self._wire.publish(message.reply, b"")
            return
        running = self._works.get(token)
        if running is None:
            return
        if message.headers and message.headers.get("Status") == "503":
            running.cancel()
            return
        try:
            running.told(Message.unpack(message.data))
        except Unreadable as error:
            log.warning("a message cannot be read", error=str(error))

    def _post(self, subject: str, data: bytes, reply: str = "") -> None:
        self._wire.publish(subject, data, reply)

    async def _work(self, running: "_Running") -> None:
        job = running.job
        try:
            config = await self._configs.get(job)
            kind = kind_of(config, job.service)
            async with asyncio.timeout(None if kind == "stt" else LONGEST_SECONDS):
                await self._stages[kind if kind in CORE else "text"](self, running, config)
        except asyncio.CancelledError:
            if not running.cancelled:
                running.say("lost")  # we are ending: somebody else is to do it
            raise
        except Exception as error:
            fields = messages.failure_fields(error)
            if fields["category"] == "internal":
                log.exception("a stage failed", service=job.service)
            running.say("failed", **fields)
        finally:
            self.done += 1
            del self._works[job.id]

    def _hand_on(self, running: "_Running", config: SessionConfig, text: str) -> None:
        """Give the text to the next consumer: a stage outside, else the call."""
        job = running.job
        service = config.next_of(job.service)
        kind = kind_of(config, service)
        known = kind != "llm" or "turn" in job.body
        if text.strip() and kind in job.outside and known:
            running.say("routed", to=service, text=text)
            self._wire.publish(self._subjects.stage(kind), job.handed_on(service, text).pack(), running.reply)
        else:
            running.say("done", text=text)

    # ---- the stages ---------------------------------------------------------------------------

    async def _text(self, running: "_Running", config: SessionConfig) -> None:
        job = running.job
        stages = make_stages(
            lambda: config, call=_context(job), gateway=self._tools.models, writer=self._tools.writer
        )
        text = await stages[job.service].transform(job.body["text"])
        self._hand_on(running, config, text)

    async def _speak(self, running: "_Running", config: SessionConfig) -> None:
        job = running.job
        connector = config.connectors["tts"]
        speaker = self._tools.speech.speaker(
            job.project, connector.names, job.format, tts_options(connector, config.language)
        )
        if job.body.get("warm"):
            await speaker.warm()
            return
        queued, began, sent = float(job.body.get("queued_ms", 0.0)), time.monotonic(), 0.0

        def queued_ms() -> float:
            return max(0.0, queued + sent - (time.monotonic() - began) * 1000)

        try:
            async with aclosing(speaker.speak(job.body["text"], queued_ms=queued_ms)) as pieces:
                async for speech in pieces:
                    fields = messages.speech_fields(speech)
                    for frame in messages.frames(speech.audio, job.format):
                        await running.room()
                        running.audio(frame, fields)
                        fields = {}
                        sent += job.format.duration(len(frame))
            running.say("done", use=messages.use_fields(speaker.use()))
        finally:
            await speaker.aclose()

    async def _answer(self, running: "_Running", config: SessionConfig) -> None:
        job = running.job
        started, remembered = job.body["limits"]
        limits = Limits(started=list(started), remembered=remembered)
        request = messages.read_request(job.body)
        responder = make_responder(
            call=_context(job),
            config=lambda: config,
            gateway=self._tools.models,
            writer=self._tools.writer,
            desk=self._tools.desk,
            events=_Told(running),
            limits=limits,
            on_task=lambda task_id, description: running.say(
                "task", task_id=task_id, description=description
            ),
        )
        running.on_message({"keep": lambda message: responder.keep(request.turn)})
        try:
            async with aclosing(responder.respond(request)) as pieces:
                async for piece in pieces:
                    more = {"remembered": limits.remembered} if isinstance(piece, ReplyDone) else {}
                    running.say("piece", **messages.piece_fields(piece), **more)
        finally:
            await responder.aclose()

    async def _listen(self, running: "_Running", config: SessionConfig) -> None:
        job = running.job
        connector = config.connectors["stt"]
        listener = await self._tools.speech.transcription(
            job.project, connector.names, job.format, stt_options(connector, config.language)
        )
        try:
            running.on_message(
                {
                    "audio": lambda message: listener.feed(message.audio),
                    "began": lambda message: listener.speech_began(),
                    "ended": lambda message: listener.speech_ended(),
                    "finish": lambda message: listener.finish_turn(),
                }
            )
            async with aclosing(listener.results()) as results:
                async for heard in results:
                    use = listener.use() if heard.final or heard.closes else ()
                    running.say("transcript", **messages.transcript_fields(heard, listener.connector, use))
        finally:
            await listener.aclose()

    _stages: Mapping[str, Callable[["StageService", "_Running", SessionConfig], Awaitable[None]]] = {
        "stt": _listen,
        "llm": _answer,
        "tts": _speak,
        "text": _text,
    }


class _Running:
    """A work that this member has taken."""

    task: "asyncio.Task[None]"

    def __init__(self, job: Job, reply: str, post: Callable[[str, bytes, str], None]) -> None:
        self.job = job
        self.reply = reply
        self.cancelled = False
        self._post = post
        self._sent = 0
        self._expected = 0
        self._unheard = 0
        self._room = asyncio.Event()
        self._room.set()
        self._handlers: Mapping[str, Callable[[Message], None]] = {}
        self._early: list[Message] = []

    def say(self, type: str, /, **fields: Any) -> None:
        self._send(Message(type, self._sent, fields))

    def audio(self, audio: bytes, fields: Mapping[str, Any]) -> None:
        self._unheard += 1
        if self._unheard >= WINDOW:
            self._room.clear()
        self._send(Message("audio", self._sent, fields, audio))

    def ask(self, at: str) -> None:
        """Have the call, or the server in its place, say when nobody wants this any more."""
        self._send(Message("heard", self._sent, {"number": self._expected}), at)

    def cancel(self) -> None:
        self.cancelled = True
        self.task.cancel()

    async def room(self) -> None:
        """Wait until the call has heard enough of what was sent."""
        await self._room.wait()

    def on_message(self, handlers: Mapping[str, Callable[[Message], None]]) -> None:
        """Have what comes handled, beginning with what came already."""
        self._handlers = handlers
        early, self._early = self._early, []
        for message in early:
            self._handle(message)

    def told(self, message: Message) -> None:
        if message.type == "cancel":
            self.cancel()
            return
        if message.number != self._expected:
            self.say("lost")
            self.cancel()
            return
        self._expected += 1
        if message.type == "more":
            self._unheard -= message.fields["number"]
            if self._unheard < WINDOW:
                self._room.set()
        else:
            if message.type == "audio" and self._expected % _HEARD_EVERY == 0:
                self.say("heard", number=self._expected)
            self._handle(message)

    def _handle(self, message: Message) -> None:
        if not self._handlers:
            self._early.append(message)
        elif (handler := self._handlers.get(message.type)) is not None:
            handler(message)

    def _send(self, message: Message, reply: str = "") -> None:
        self._sent += 1
        self._post(self.reply, message.pack(), reply)


class _Told(NullLog):
    """The log of a call that runs elsewhere."""

    def __init__(self, running: _Running) -> None:
        self._running = running

    def event(self, type: str, payload: Mapping[str, Any]) -> None:
        self._running.say("event", type=type, payload=dict(payload))


def _context(job: Job) -> CallContext:
    return CallContext(job.project, job.network, job.call, job.worker)
