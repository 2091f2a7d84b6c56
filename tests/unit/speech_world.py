"""The world the speech hedges are tested in: scripted services, no sockets, time that jumps."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from agents.providers.errors import Failure, ProviderError
from agents.resilience.ports import Credential
from voice.audio import TELEPHONE, AudioFormat
from voice.connectors.base import Listener, Speaker
from voice.connectors.gateway import SpeechGateway
from voice.connectors.inbox import Inbox
from voice.connectors.registry import LOCAL
from voice.connectors.types import Speech, SttOptions, Transcript, TtsOptions

FRAME = 160


def now() -> float:
    return asyncio.get_running_loop().time()


class Words:
    """Speech for scripted ears: each word is as many bytes of its own letter as it lasts."""

    def __init__(self, **milliseconds: int) -> None:
        self.audio = b"".join(word[0].encode() * (8 * ms) for word, ms in milliseconds.items())


class ScriptedEar:
    """A recogniser that knows words by their first letters. `delay` in seconds from sound to word."""

    def __init__(self, name: str, vocabulary: Sequence[str], *, partials: bool = True) -> None:
        self.name = name
        self.partials = partials
        self.expected_ms = 100.0
        self.vocabulary = {word[0]: word for word in vocabulary}
        self.delay = 0.0
        self.tail = 0.0
        self.refuses: list[ProviderError] = []  # one for each `open`
        self.opens = 0.0
        self.deaf = False  # takes everything, says nothing
        self.tells_until = True
        self.streams: list[ScriptedStream] = []
        self.options: list[SttOptions] = []

    async def open(self, format: AudioFormat, options: SttOptions) -> "ScriptedStream":
        if self.opens:
            await asyncio.sleep(self.opens)
        if self.refuses:
            raise self.refuses.pop(0)
        self.options.append(options)
        self.streams.append(ScriptedStream(self))
        return self.streams[-1]

    async def warm(self) -> None: ...

    async def aclose(self) -> None: ...


class ScriptedStream:
    def __init__(self, ear: ScriptedEar) -> None:
        self.ear = ear
        self.audio = b""
        self.settled = 0
        self.inbox: Inbox[Transcript] = Inbox()
        self.closed = False
        self.turns = 0

    def feed(self, audio: bytes) -> None:
        before = self.words()
        self.audio += audio
        after = self.words()
        if self.ear.partials and after != before:
            self.after(self.ear.delay, Transcript(after))

    def words(self) -> str:
        """The words of which 100 ms were heard."""
        text = self.audio[self.settled :].decode("latin-1")
        found = [(text.find(letter * 800), word) for letter, word in self.ear.vocabulary.items()]
        return " ".join(word for at, word in sorted(found) if at >= 0)

    def settle(self, *, closes: bool = False, endpoint: bool = False) -> None:
        text, self.settled = self.words(), len(self.audio)
        until = TELEPHONE.duration(self.settled) if self.ear.tells_until else None
        self.after(self.ear.tail, Transcript(text, True, closes, endpoint, until_ms=until))

    def finish_turn(self) -> None:
        self.turns += 1
        self.settle(closes=True)

    def after(self, seconds: float, transcript: Transcript) -> None:
        if not self.ear.deaf:
            if seconds:
                asyncio.get_running_loop().call_later(seconds, self.inbox.put, transcript)
            else:
                self.inbox.put(transcript)

    def die(self, category: Failure = Failure.CUT_STREAM) -> None:
        self.inbox.fail(ProviderError(category, "scripted", provider=self.ear.name))

    async def results(self) -> AsyncGenerator[Transcript, None]:
        async for transcript in self.inbox.read():
            yield transcript

    async def aclose(self) -> None:
        self.closed = True
        self.inbox.close()


Step = float | bytes | ProviderError  # wait so many seconds · give audio · fail


class ScriptedVoice:
    """A voice that plays one script a clause, then `usual`."""

    def __init__(self, name: str, *usual: Step) -> None:
        self.name = name
        self.expected_ms = 100.0
        self.usual = usual or (b"%b" % name[0].encode() * 800,)
        self.scripts: list[tuple[Step, ...]] = []
        self.texts: list[str] = []
        self.stopped = 0
        self.warmed = 0
        self.options: list[TtsOptions] = []

    def script(self, *steps: Step) -> None:
        self.scripts.append(steps)

    async def synthesize(
        self, text: str, format: AudioFormat, options: TtsOptions
    ) -> AsyncGenerator[Speech, None]:
        self.texts.append(text)
        self.options.append(options)
        whole = False
        try:
            for step in self.scripts.pop(0) if self.scripts else self.usual:
                if isinstance(step, ProviderError):
                    raise step
                if isinstance(step, bytes):
                    yield Speech(step, connector=self.name)
                else:
                    await asyncio.sleep(step)
            whole = True
        finally:
            self.stopped += not whole

    async def warm(self, format: AudioFormat, options: TtsOptions) -> None:
        self.warmed += 1

    async def aclose(self) -> None: ...


@dataclass
class Counted:
    """An observer that remembers."""

    hedges: list[tuple[str, str, str, str]] = field(default_factory=list)
    failures: list[tuple[str, str, Failure]] = field(default_factory=list)
    firsts: list[tuple[str, str, float]] = field(default_factory=list)
    breakers: list[tuple[str, str]] = field(default_factory=list)

    def hedged(self, *, kind: str, slow: str, to: str, reason: str) -> None:
        self.hedges.append((kind, slow, to, reason))

    def first_result(self, *, kind: str, connector: str, milliseconds: float) -> None:
        self.firsts.append((kind, connector, milliseconds))

    def failed(self, *, kind: str, connector: str, failure: Failure) -> None:
        self.failures.append((kind, connector, failure))

    def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None:
        self.breakers.append((provider, state))


class Keys:
    """A key for each service named."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def get(self, project_id: str, service: str) -> Credential | None:
        if service not in self.names:
            return None
        return Credential("secret", f"https://{service}.test", f"key-{project_id or 'ours'}")


class SpeechWorld:
    """A gateway over scripted services, in virtual time."""

    def __init__(self, *services: ScriptedEar | ScriptedVoice, keys: Keys | None = None) -> None:
        self.ears = {service.name: service for service in services if isinstance(service, ScriptedEar)}
        self.voices = {service.name: service for service in services if isinstance(service, ScriptedVoice)}
        self.observer = Counted()
        names = [service.name for service in services if service.name != LOCAL]
        self.gateway = SpeechGateway(
            keys or Keys(*names),
            observer=self.observer,
            recogniser_loader=lambda name: lambda credential: self.ears[name],
            voice_loader=lambda name: lambda credential: self.voices[name],
            clock=now,
        )

    async def listen(self, *names: str, options: SttOptions | None = None, project: str = "") -> "Caller":
        chosen = names or tuple(self.ears)
        return Caller(await self.gateway.transcription(project, chosen, TELEPHONE, options or SttOptions()))

    def speaker(self, *names: str, options: TtsOptions | None = None, project: str = "") -> Speaker:
        return self.gateway.speaker(project, names or tuple(self.voices), TELEPHONE, options or TtsOptions())


class Caller:
    """Somebody on the line, at the speed of speech."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.heard: list[Transcript] = []
        self.times: list[float] = []
        self.error: ProviderError | None = None
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for transcript in self.listener.results():
                self.heard.append(transcript)
                self.times.append(now())
                self.news.set()
        except ProviderError as error:
            self.error = error
        finally:
            self.news.set()

    async def say(self, audio: bytes) -> None:
        self.listener.speech_began()
        for at in range(0, len(audio), FRAME):
            self.listener.feed(audio[at : at + FRAME])
            await asyncio.sleep(0.02)
        self.listener.speech_ended()

    async def pause(self, milliseconds: int) -> None:
        for _ in range(milliseconds // 20):
            self.listener.feed(b"\xff" * FRAME)
            await asyncio.sleep(0.02)

    async def finish(self, limit: float = 5.0) -> str:
        """End the turn; return the finals' text."""
        begin, closes = len(self.heard), self.closed
        self.listener.finish_turn()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self.closed == closes and not self.task.done():
                    self.news.clear()
                    await self.news.wait()
        assert self.closed == closes + 1, self.heard[begin:]
        return self.text

    @property
    def closed(self) -> int:
        return sum(item.closes for item in self.heard)

    @property
    def text(self) -> str:
        return " ".join(item.text for item in self.heard if item.final and item.text)

    async def hang_up(self) -> None:
        await self.listener.aclose()
        await self.task


def failure(category: Failure, name: str = "") -> ProviderError:
    return ProviderError(category, f"scripted {category}", provider=name)


async def spoken(speaker: Speaker, text: str = "Hello.", queued: Sequence[float] = ()) -> list[Speech]:
    """Speak a clause and return its pieces; nothing is queued, or `queued` in turn."""
    left = list(queued)
    stream = speaker.speak(text, queued_ms=lambda: left.pop(0) if len(left) > 1 else (left or [0.0])[0])
    try:
        return [piece async for piece in stream]
    finally:
        await stream.aclose()
