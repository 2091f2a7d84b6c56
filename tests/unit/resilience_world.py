"""The world the wrappers are tested in: scripted providers, a journal in memory, time that jumps."""

import asyncio
import functools
import selectors
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from agents.catalogue import Catalogue
from agents.providers.base import Provider
from agents.providers.errors import Failure, ProviderError
from agents.providers.scripted import ScriptedProvider
from agents.providers.types import Chunk, Done, FinishReason, Message, ModelRequest, Reply, Usage
from agents.resilience.gateway import ModelGateway
from agents.resilience.ports import CallEnd, CallStart, Credential, PastTry

CLAUDE, GPT, GEMINI = "claude-sonnet-5-5", "gpt-6-sol", "gemini-3.8-flash"
KINDS = ("anthropic", "openai", "google")


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that does not wait: when nothing is ready, its clock jumps to the next timer."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float | None) -> None:
        if seconds is None:
            raise AssertionError("the test waits for something that never comes")
        self._now += seconds


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout != 0:
            self._loop.jump(timeout)
        return ready


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on a virtual loop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))  # type: ignore[arg-type]

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


async def idle() -> None:
    """Let everybody run until all wait for something; virtual time hardly moves."""
    await asyncio.sleep(0.001)


class ListJournal:
    """A journal that remembers."""

    def __init__(self, past: Sequence[PastTry] = ()) -> None:
        self.starts: list[CallStart] = []
        self.ends: list[CallEnd] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self._past = tuple(past)

    async def begin(self, start: CallStart) -> str:
        self.starts.append(start)
        return f"call_{len(self.starts)}"

    async def settle(self, end: CallEnd) -> None:
        await asyncio.sleep(0)  # as a database would: cancellation must not cut it off
        self.ends.append(end)

    def past_tries(self) -> Sequence[PastTry]:
        return self._past

    def note(self, event_type: str, payload: Any) -> None:
        self.notes.append((event_type, dict(payload)))

    @property
    def asked(self) -> list[str]:
        return [start.model for start in self.starts]


class Keys:
    """Credentials: a key for each provider named."""

    def __init__(self, *kinds: str, model: str = "") -> None:
        self.kinds = set(kinds)
        self.model = model

    def get(self, project_id: str, provider: str) -> Credential | None:
        if provider not in self.kinds:
            return None
        return Credential("secret", f"https://{provider}.test", f"key-{project_id or 'ours'}", self.model)


class World:
    """A gateway over scripted providers, one per kind."""

    def __init__(
        self, *kinds: str, catalogue: Catalogue | None = None, model: str = "", **options: Any
    ) -> None:
        self.providers: dict[str, ScriptedProvider] = {}
        self.others: dict[str, Provider] = {}  # providers that are not scripted
        self.keys = Keys(*(kinds or KINDS), model=model)
        self.journal = ListJournal()
        options.setdefault("clock", now)
        self.gateway = ModelGateway(
            catalogue or Catalogue.from_seed(),
            self.keys,
            provider_loader=lambda kind: (
                lambda credential, capabilities: self.others.get(kind) or self.on(kind)
            ),
            **options,
        )

    def on(self, kind: str, *steps: Any) -> ScriptedProvider:
        provider = self.providers.setdefault(kind, ScriptedProvider())
        provider.add(*steps)
        return provider

    def chain(
        self, *models: str, past: Sequence[PastTry] = (), project: str = "", **options: Any
    ) -> Provider:
        self.journal = ListJournal(past)
        options.setdefault("total_timeout", 100.0)
        return self.gateway.chain(project, models or (CLAUDE, GPT, GEMINI), self.journal, **options)

    def calls(self) -> list[int]:
        """How often each provider of the default chain was asked."""
        return [len(self.on(kind).requests) for kind in KINDS]


def request(text: str = "Hello", **options: Any) -> ModelRequest:
    return ModelRequest(CLAUDE, (Message("user", text),), **options)


def reply(text: str = "Good day", **options: Any) -> Reply:
    options.setdefault("finish_reason", FinishReason.STOP)
    options.setdefault("usage", Usage(input=10, output=5))
    return Reply(text, provider="x", model="x", **options)


def done(finish_reason: FinishReason = FinishReason.STOP) -> Done:
    return Done(finish_reason, Usage(input=10, output=5), "x", "x")


def failure(category: Failure, **fields: Any) -> ProviderError:
    return ProviderError(category, f"scripted {category}", **fields)


async def read(stream: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    return [chunk async for chunk in stream]
