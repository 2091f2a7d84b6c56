"""`python -m bench.chain`: what our wrappers add to a call, and what a dead primary costs.

The simulated vendors run in a process of their own. Floor (bare SDK) and ours are measured in turn, call by
call, so that a noisy machine hurts both alike. The journal is in memory: its writes are in the engine's table.
With REDIS_URL the dead primary is met by four workers that share it; without, by one.
"""

import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anthropic
import openai
from redis.asyncio import Redis

from agents.catalogue import Catalogue
from agents.providers.base import Provider, complete
from agents.providers.registry import load
from agents.providers.types import Capabilities, Message, ModelRequest
from agents.resilience.deadline import Deadlines
from agents.resilience.gateway import ModelGateway
from agents.resilience.ports import CallEnd, CallStart, Credential, PastTry

CLAUDE, GPT = "claude-sonnet-5-5", "gpt-6-sol"
ROUNDS, WARM_UP = 300, 30
FIRST_BYTE, COOL_DOWN, DEAD_FOR = 0.5, 2.0, 9.0  # seconds
PROMPT = "Write a headline for a new bicycle bell."


class NoJournal:
    """Writes nothing."""

    async def begin(self, start: CallStart) -> str:
        return "call"

    async def settle(self, end: CallEnd) -> None: ...

    def past_tries(self) -> tuple[PastTry, ...]:
        return ()

    def note(self, event_type: str, payload: Mapping[str, Any]) -> None: ...


class Keys:
    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls

    def get(self, project_id: str, provider: str) -> Credential | None:
        return Credential("good", self._urls[provider], "good") if provider in self._urls else None


class Vendors:
    """The simulated vendors, in their own process."""

    def __enter__(self) -> "Vendors":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        words = (self._process.stdout.readline() + self._process.stdout.readline()).split()
        told = dict(word.split("=", 1) for word in words)
        self.urls = {"anthropic": told["ANTHROPIC_BASE_URL"], "openai": told["OPENAI_BASE_URL"]}
        self._control = self.urls["anthropic"].rpartition("/anthropic")[0]
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait()

    def always(self, vendor: str, step: Mapping[str, Any] | None) -> None:
        """Let a vendor do one thing from now on."""
        self._send("POST", "/script", {"vendor": vendor, "always": step})

    def calls(self, vendor: str) -> int:
        """How often a vendor was asked."""
        return len(self._send("GET", f"/calls?vendor={vendor}")[vendor])

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(
            urllib.request.Request(self._control + path, data, method=method)
        ) as answer:
            return json.load(answer)


Call = Callable[[], Awaitable[object]]


async def timed(call: Call) -> float:
    """Return how long a call takes, in ms."""
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


def p50_p95(values: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=20)
    return cuts[9], cuts[18]


def sdk_calls(urls: Mapping[str, str]) -> tuple[dict[tuple[str, bool], Call], list[Any]]:
    """Return the floor: the same request by the bare SDK, read to its end."""
    claude = anthropic.AsyncAnthropic(api_key="good", base_url=urls["anthropic"], max_retries=0)
    gpt = openai.AsyncOpenAI(api_key="good", base_url=urls["openai"], max_retries=0)
    ask_claude = {"model": CLAUDE, "max_tokens": 512, "messages": [{"role": "user", "content": PROMPT}]}
    ask_gpt: dict[str, Any] = {"model": GPT, "max_output_tokens": 512}
    ask_gpt["input"] = [{"role": "user", "content": PROMPT}]

    async def claude_stream() -> None:
        async for _ in await claude.messages.create(**ask_claude, stream=True):  # type: ignore[call-overload]
            pass

    async def gpt_stream() -> None:
        async for _ in await gpt.responses.create(**ask_gpt, stream=True):
            pass

    calls: dict[tuple[str, bool], Call] = {
        ("anthropic", False): lambda: claude.messages.create(**ask_claude),  # type: ignore[call-overload]
        ("anthropic", True): claude_stream,
        ("openai", False): lambda: gpt.responses.create(**ask_gpt),
        ("openai", True): gpt_stream,
    }
    return calls, [claude, gpt]


async def added_by_wrappers(vendors: Vendors) -> None:
    """Print what the wrappers add: chain minus bare SDK, and the part of it that is the wire format."""
    catalogue, keys = Catalogue.from_seed(), Keys(vendors.urls)
    gateway = ModelGateway(catalogue, keys)
    await gateway.start()
    floor, clients = sdk_calls(vendors.urls)
    print(f"\nAdded per call over the bare SDK, ms ({ROUNDS} rounds, measured in turn)")
    print(
        f"{'':24}{'SDK p50':>9}{'p95':>8}{'chain p50':>11}{'p95':>8}{'added p50':>11}{'p95':>8}{'of it ours':>12}"
    )
    for (kind, stream), bare in floor.items():
        model = {"anthropic": CLAUDE, "openai": GPT}[kind]
        credential = keys.get("", kind)
        assert credential is not None
        provider = load(kind)(
            credential, lambda name: getattr(catalogue.resolve(name), "capabilities", Capabilities())
        )
        request = ModelRequest(model, (Message("user", PROMPT),), max_tokens=512, stream=stream)

        def chained(request: ModelRequest = request) -> Awaitable[object]:
            return complete(gateway.chain("p", [CLAUDE, GPT], NoJournal(), total_timeout=60), request)

        def alone(request: ModelRequest = request, provider: Provider = provider) -> Awaitable[object]:
            return complete(provider, request)

        models = [model]

        def one(request: ModelRequest = request, models: list[str] = models) -> Awaitable[object]:
            return complete(gateway.chain("p", models, NoJournal(), total_timeout=60), request)

        rows = [[await timed(call) for call in (bare, alone, one)] for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
        sdk, wire, ours = (list(column) for column in zip(*rows, strict=True))
        (sdk50, sdk95), (our50, our95) = p50_p95(sdk), p50_p95(ours)
        wrappers = p50_p95(ours)[0] - p50_p95(wire)[0]
        name = f"{kind}, {'streamed' if stream else 'whole'}"
        print(
            f"{name:24}{sdk50:9.2f}{sdk95:8.2f}{our50:11.2f}{our95:8.2f}"
            f"{our50 - sdk50:11.2f}{our95 - sdk95:8.2f}{wrappers:12.2f}"
        )
        await provider.aclose()
    for client in clients:
        await client.close()
    await gateway.aclose()


async def dead_primary(vendors: Vendors, redis_url: str) -> None:
    """Print what a silent primary costs a fleet: slow calls, the others, probes."""
    workers = 4 if redis_url else 1
    prefix = f"mesh:bench:{os.getpid()}:"
    gateways = [
        ModelGateway(
            Catalogue.from_seed(),
            Keys(vendors.urls),
            redis_url=redis_url,
            deadlines=Deadlines(first_byte=FIRST_BYTE, whole_reply=FIRST_BYTE),
            cool_down=COOL_DOWN,
            prefix=prefix,
        )
        for _ in range(workers)
    ]
    for gateway in gateways:
        await gateway.start()
    request = ModelRequest(CLAUDE, (Message("user", PROMPT),), max_tokens=512)

    def ask(gateway: ModelGateway, *models: str) -> Awaitable[object]:
        return complete(gateway.chain("p", models, NoJournal(), total_timeout=60), request)

    vendors.always("anthropic", {"fault": {"kind": "silence"}})
    before = vendors.calls("anthropic")
    chained: list[float] = []
    direct: list[float] = []

    async def keep_asking(gateway: ModelGateway) -> None:
        until = time.monotonic() + DEAD_FOR
        while time.monotonic() < until:
            chained.append(await timed(lambda: ask(gateway, CLAUDE, GPT)))
            direct.append(await timed(lambda: ask(gateway, GPT)))
            await asyncio.sleep(0.02)

    await asyncio.gather(*(keep_asking(gateway) for gateway in gateways))
    asked = vendors.calls("anthropic") - before
    slow = sum(value > FIRST_BYTE * 900 for value in chained)
    (quick50, quick95), (direct50, direct95) = (
        p50_p95([value for value in values if value <= FIRST_BYTE * 900]) for values in (chained, direct)
    )
    probes = int((DEAD_FOR - FIRST_BYTE) / (COOL_DOWN + FIRST_BYTE))
    print(f"\nDead primary (silent), {workers} worker(s), {'one Redis' if redis_url else 'no Redis'}")
    print(f"  calls {len(chained)} in {DEAD_FOR:g} s, cool-down {COOL_DOWN:g} s")
    print(
        f"  asked of the dead vendor {asked}: allowed are 5, {workers - 1} in flight then, and {probes} probes"
    )
    print(f"  calls that waited for it {slow}")
    print(
        f"  the others, ms: p50 {quick50:.1f}, p95 {quick95:.1f}; the second model alone, in turn: ", end=""
    )
    print(f"p50 {direct50:.1f}, p95 {direct95:.1f}")
    for gateway in gateways:
        await gateway.aclose()
    if redis_url:
        async with Redis.from_url(redis_url) as redis:
            async for key in redis.scan_iter(f"{prefix}*"):
                await redis.delete(key)


async def main() -> None:
    """Print both tables."""
    logging.getLogger("agents.resilience").setLevel(logging.CRITICAL)  # the dead vendor is meant
    with Vendors() as vendors:
        await added_by_wrappers(vendors)
        await dead_primary(vendors, os.environ.get("REDIS_URL", ""))


if __name__ == "__main__":
    asyncio.run(main())
