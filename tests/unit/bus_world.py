"""A bus in memory, members of stages on it, and the call's side of both, in virtual time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tests.unit.resilience_world import World
from tests.unit.speech_world import ScriptedEar, ScriptedVoice, SpeechWorld, now
from tests.unit.voice_agent_world import CALL, Desk, Log, Writer, session
from voice.agent import make_responder
from voice.agent_ports import Limits
from voice.audio import TELEPHONE
from voice.bus.dispatch import Dispatcher
from voice.bus.messages import Job
from voice.bus.outside import Outside
from voice.bus.remote_agent import RemoteResponder
from voice.bus.remote_ear import RemoteListener
from voice.bus.remote_text import RemoteStages
from voice.bus.remote_voice import RemoteSpeaker
from voice.bus.stage_service import StageService, Tools
from voice.bus.subjects import KINDS, Subjects
from voice.config import Connector, Edge, SessionConfig
from voice.connectors.types import SttOptions, TtsOptions
from voice.stages_text import make_stages

SUBJECTS = Subjects("t")


@dataclass(frozen=True)
class Sent:
    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] | None = None


@dataclass(eq=False)
class Subscription:
    bus: "MemoryBus"
    subject: str
    handler: Callable[[Any], None]
    queue: str
    owner: str

    async def unsubscribe(self) -> None:
        self.bus.subscriptions.remove(self)


class MemoryBus:
    """Delivers in order, to one of a queue group; tells the sender when there is nobody."""

    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []
        self.connected = True
        self.sent: list[Sent] = []
        self.silent: set[str] = set()  # owners that hang: they get messages and do nothing
        self._turn = 0

    def member(self, name: str) -> "Wire":
        return Wire(self, name)

    def publish(self, subject: str, data: bytes, reply: str = "") -> bool:
        self.sent.append(Sent(subject, data, reply))
        asyncio.get_running_loop().call_soon(self._deliver, Sent(subject, data, reply))
        return True

    def leave(self, owner: str) -> None:
        """Its connection is gone."""
        self.subscriptions = [found for found in self.subscriptions if found.owner != owner]

    def _deliver(self, message: Sent) -> None:
        found = [one for one in self.subscriptions if _matches(one.subject, message.subject)]
        if not found and message.reply:
            self._deliver(Sent(message.reply, b"", headers={"Status": "503"}))
        queued = [one for one in found if one.queue]
        plain = [one for one in found if not one.queue]
        if queued:
            self._turn += 1
            plain.append(queued[self._turn % len(queued)])
        for one in plain:
            if one.owner not in self.silent:
                one.handler(message)

    def subjects(self, part: str) -> list[str]:
        return [sent.subject for sent in self.sent if part in sent.subject]


def _matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    return len(wanted) == len(given) and all(w in ("*", g) for w, g in zip(wanted, given, strict=True))


class Wire:
    """One connection."""

    def __init__(self, bus: MemoryBus, owner: str) -> None:
        self._bus = bus
        self._owner = owner
        self.alive = True

    @property
    def connected(self) -> bool:
        return self._bus.connected

    def publish(self, subject: str, data: bytes, reply: str = "") -> bool:
        return self.alive and self._bus.publish(subject, data, reply)

    async def subscribe(self, subject: str, handler: Callable[[Any], None], queue: str = "") -> Subscription:
        found = Subscription(self._bus, subject, handler, queue, self._owner)
        self._bus.subscriptions.append(found)
        return found


@dataclass
class Member:
    """One process of stages: its own ears, voices and models."""

    service: StageService
    wire: Wire
    bus: MemoryBus
    ear: ScriptedEar
    voice: ScriptedVoice
    models: World
    desk: Desk

    def kill(self) -> None:
        """It is gone, with all that it had begun."""
        self.wire.alive = False
        self.bus.leave(self.service.name)

    def hang(self) -> None:
        self.wire.alive = False
        self.bus.silent.add(self.service.name)


class BusWorld:
    """A call whose stages live outside; `config` may be replaced. `here` is the voice process's own."""

    def __init__(self, *stages: str, words: tuple[str, ...] = ("alpha", "bravo", "charlie", "delta")) -> None:
        self.bus = MemoryBus()
        self.words = words
        self.config: SessionConfig = config()
        self.log = Log()
        self.here_ear, self.here_voice = (
            ScriptedEar("deepgram", words),
            ScriptedVoice("elevenlabs", b"h" * 800),
        )
        self.speech = SpeechWorld(self.here_ear, self.here_voice)
        self.here_models = World()
        self.limits = Limits()
        self.desk = Desk()
        self.dispatcher = Dispatcher(self.bus.member("voice"), SUBJECTS, clock=now)
        self.outside = Outside(
            self.dispatcher,
            frozenset(stages or KINDS),
            call=CALL,
            session="session_1",
            config=lambda: self.config,
            format=TELEPHONE,
            log=self.log,
        )
        stages_here = make_stages(
            lambda: self.config, call=CALL, gateway=self.here_models.gateway, writer=Writer()
        )
        self.own = make_responder(
            call=CALL,
            config=lambda: self.config,
            gateway=self.here_models.gateway,
            writer=Writer(),
            desk=self.desk,
            events=self.log,
            limits=self.limits,
        )
        self.responder = RemoteResponder(self.outside, self.own, stages_here, self.limits)
        self.stages = RemoteStages(stages_here, self.outside)

    async def __aenter__(self) -> "BusWorld":
        await self.bus.member("voice").subscribe(self.dispatcher.inbox, self._receive)
        self._patrol = asyncio.create_task(self.dispatcher.run())
        return self

    def _receive(self, sent: Sent) -> None:
        self.dispatcher.receive(sent.subject, sent.data, sent.headers, sent.reply)

    async def __aexit__(self, *_: object) -> None:
        self._patrol.cancel()
        await asyncio.sleep(0.01)
        assert self.dispatcher.active == 0, "works are left"

    async def member(self, *kinds: str, name: str = "m") -> Member:
        ear, voice = ScriptedEar("deepgram", self.words), ScriptedVoice("elevenlabs", *[b"m" * 800] * 3)
        models, desk = World(), Desk()
        wire = self.bus.member(name)
        service = StageService(
            kinds or KINDS,
            name=name,
            wire=wire,
            subjects=SUBJECTS,
            tools=Tools(models.gateway, SpeechWorld(ear, voice).gateway, Writer(), desk),
            configs=self,
        )
        await service.start()
        return Member(service, wire, self.bus, ear, voice, models, desk)

    async def get(self, job: Job) -> SessionConfig:
        """The session's config, for the members."""
        return self.config

    def listener(self) -> RemoteListener:
        return RemoteListener(
            self.outside,
            lambda: self.speech.gateway.transcription("", ("deepgram",), TELEPHONE, SttOptions()),
        )

    def speaker(self) -> RemoteSpeaker:
        own = self.speech.gateway.speaker("", ("elevenlabs",), TELEPHONE, TtsOptions())
        return RemoteSpeaker(self.outside, own)

    def fallbacks(self) -> list[tuple[str, str, str]]:
        return [
            (payload["stage"], payload["reason"], payload["to"])
            for type, payload in self.log.events
            if type == "stage.fallback"
        ]


def config(*services: str, **connectors: Connector) -> SessionConfig:
    """A session whose flow passes these services."""
    path = services or ("transport", "stt", "llm", "tts", "transport")
    flow = tuple(Edge(source, target, "text") for source, target in pairwise(path))
    plain = session("anthropic", model="claude-sonnet-5-5")
    speech = {"stt": Connector("deepgram"), "tts": Connector("elevenlabs")}
    return replace(plain, flow=flow, connectors={**plain.connectors, **speech, **connectors})
