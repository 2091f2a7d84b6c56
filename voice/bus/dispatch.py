"""Work given to stages outside, seen from the voice process: who has it, what came back, whether he still lives.

A stage that is not there is known at once: the server answers a message that nobody takes. One that died is found
by asking each member that has work of ours ten times a second, and one that hangs by its silence.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from .messages import Job, Message, Unreadable, read_failure
from .subjects import PING, Subjects, last

log = structlog.get_logger(__name__)

ACCEPT_SECONDS: Final = 0.5  # for somebody to take a work
HUNG_SECONDS: Final = 1.5  # of silence of a member that has work of ours
AVOID_SECONDS: Final = 5.0  # without a kind of stage whose members hang
PATROL_SECONDS: Final = 0.1
BEHIND: Final = 250  # audio messages that a stage may leave unheard: ten seconds of speech


class StageAway(Exception):
    """Nobody does this work now. `reason`: nobody, late, died, hung, behind, gap, disconnected."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class Wire(Protocol):
    """`Link`, as far as works need it."""

    @property
    def connected(self) -> bool: ...

    def publish(self, subject: str, data: bytes, reply: str = "") -> bool: ...


class Work:
    """One job under way. Close it in any case: then its stage stops."""

    def __init__(self, dispatcher: "Dispatcher", job: Job) -> None:
        self.job = job
        self.service = job.service  # who has it, or is to take it
        self.at = ""  # the member; empty until it is accepted
        self.asked_at = dispatcher.clock()
        self.on_accepted: Callable[[str, str], None] = lambda service, member: None
        self._dispatcher = dispatcher
        self._news: asyncio.Queue[Message | StageAway] = asyncio.Queue()
        self._expected = 0
        self._sent = 0
        self._heard = 0
        self._over = False

    async def next(self) -> Message:
        """The next message. Raises `StageAway`, and the `ProviderError` that a stage has failed with."""
        news = await self._news.get()
        if isinstance(news, StageAway):
            raise news
        if news.type == "failed":
            self._over = True
            raise read_failure(news.fields)
        return news

    def send(self, type: str, /, **fields: Any) -> None:
        """Tell the stage something; nothing when nobody has taken the work."""
        self._post(Message(type, self._sent, fields))

    def feed(self, audio: bytes) -> None:
        self._post(Message("audio", self._sent, audio=audio))
        if self._sent - self._heard > BEHIND:
            self.gone("behind")

    def close(self) -> None:
        """Be done with it. Idempotent."""
        if not self._over:
            self.send("cancel")
        self._over = True
        self._dispatcher.forget(self)

    def gone(self, reason: str) -> None:
        if not self._over:
            self.send("cancel")  # it may live after all
            self._over = True
            self._news.put_nowait(StageAway(self.service, reason))

    def told(self, message: Message) -> None:
        """A message of it came."""
        if self._over:
            return
        if message.type == "accepted":
            self.at, self.service = message.fields["at"], message.fields["service"]
            self._expected = self._sent = self._heard = 0
            self.on_accepted(self.service, self.at)
        if message.number != self._expected:
            self.gone("gap")
            return
        self._expected += 1
        if message.type == "heard":
            self._heard = message.fields["number"]
            return
        if message.type == "lost":
            self.gone("gap")
            return
        if message.type == "routed":
            self.at, self.service = "", message.fields["to"]
            self.asked_at = self._dispatcher.clock()
        self._news.put_nowait(message)
        if message.type in ("done", "failed"):
            self._over = True

    def _post(self, message: Message) -> None:
        if self.at and not self._over:
            self._dispatcher.post(self, message)
            self._sent += 1


class Dispatcher:
    """One a voice process. `receive` is to be subscribed to `inbox`; `run` patrols until it is cancelled."""

    def __init__(self, wire: Wire, subjects: Subjects, clock: Callable[[], float] = time.monotonic) -> None:
        self._wire = wire
        self._subjects = subjects
        self.clock = clock
        self._process = secrets.token_hex(8)
        self._works: dict[str, Work] = {}
        self._seen: dict[str, float] = {}  # members that have work of ours
        self._avoid: dict[str, float] = {}

    @property
    def inbox(self) -> str:
        return self._subjects.to(self._process)

    @property
    def active(self) -> int:
        """Works under way."""
        return len(self._works)

    def start(self, kind: str, job: Job) -> Work:
        """Give a work to whoever takes it. Raises `StageAway` when it is known that nobody will."""
        if not self._wire.connected:
            raise StageAway(job.service, "disconnected")
        if self._avoid.get(kind, 0.0) > self.clock():
            raise StageAway(job.service, "hung")
        work = Work(self, job)
        self._works[job.id] = work
        reply = self._subjects.to(self._process, job.id)
        if not self._wire.publish(self._subjects.stage(kind), job.pack(), reply):
            work.close()
            raise StageAway(job.service, "disconnected")
        return work

    def post(self, work: Work, message: Message) -> None:
        # Whoever died is known by the server's answer to the next frame.
        reply = self._subjects.to(self._process, work.job.id) if message.type == "audio" else ""
        self._wire.publish(self._subjects.at(work.at, work.job.id), message.pack(), reply)

    def forget(self, work: Work) -> None:
        self._works.pop(work.job.id, None)

    def lost(self) -> None:
        """The connection is gone, and with it all that was under way."""
        for work in list(self._works.values()):
            work.gone("disconnected")
        self._seen.clear()

    def receive(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Take a message that came to the inbox; who wants a `reply` is told that his work is over, if it is."""
        token = last(subject)
        nobody = bool(headers) and (headers or {}).get("Status") == "503"
        member = token.removeprefix("at-") if token.startswith("at-") else ""
        if member:
            if nobody:
                self._died(member)
            elif member in self._seen:
                self._seen[member] = self.clock()
            return
        work = self._works.get(token)
        if work is None:
            if reply:
                self._wire.publish(reply, Message("cancel", 0).pack())
            return
        if nobody:
            if work.at:
                self._died(work.at)
            work.gone("nobody")
            return
        try:
            message = Message.unpack(data)
        except Unreadable as error:
            log.warning("a stage's message cannot be read", error=str(error))
            return
        work.told(message)
        if work.at:
            self._seen[work.at] = self.clock()

    async def run(self) -> None:
        due = self.clock()
        while True:
            late = self.clock() - due > 2 * PATROL_SECONDS  # it was us who hung
            self.patrol(forgive=late)
            due = self.clock() + PATROL_SECONDS
            await asyncio.sleep(PATROL_SECONDS)

    def patrol(self, *, forgive: bool = False) -> None:
        """Ask those who have work of ours whether they live; give up those who do not answer."""
        now = self.clock()
        busy = {work.at for work in self._works.values() if work.at}
        self._seen = {member: self._seen.get(member, now) for member in busy}
        for member in busy:
            if forgive:
                self._seen[member] = now
            elif now - self._seen[member] > HUNG_SECONDS:
                self._died(member, "hung")
                continue
            reply = self._subjects.to(self._process, f"at-{member}")
            self._wire.publish(self._subjects.at(member, PING), b"", reply)
        for work in list(self._works.values()):
            if not work.at and now - work.asked_at > ACCEPT_SECONDS and not forgive:
                work.gone("late")

    def avoid(self, kind: str) -> None:
        """Do without a kind of stage for a while."""
        self._avoid[kind] = self.clock() + AVOID_SECONDS

    def _died(self, member: str, reason: str = "died") -> None:
        self._seen.pop(member, None)
        for work in list(self._works.values()):
            if work.at == member:
                work.gone(reason)
