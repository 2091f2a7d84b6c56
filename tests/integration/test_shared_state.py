"""Breakers and limits over several workers: gateways that share nothing but a Redis."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from agents.providers.base import complete
from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from agents.providers.scripted import ScriptedProvider
from agents.providers.types import Chunk, ModelRequest
from agents.resilience.ports import Credential, Limits, ModelInfo
from agents.resilience.shared import Link
from tests.unit.resilience_world import CLAUDE, World, failure, reply, request

COOL_DOWN = 0.5


class Dead:
    """A provider that every worker finds dead; it counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.asked += 1
        await asyncio.sleep(0)
        raise failure(Failure.CONNECTION)
        yield

    async def aclose(self) -> None: ...


class Willing:
    """A provider that always answers."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        inner = ScriptedProvider([reply("second")])
        async for chunk in inner.stream(request):
            yield chunk

    async def aclose(self) -> None: ...


@asynccontextmanager
async def workers(count: int, url: str, **options: Any) -> AsyncIterator[list[World]]:
    clock = asyncio.get_running_loop().time
    worlds = [World(redis_url=url, clock=clock, cool_down=COOL_DOWN, **options) for _ in range(count)]
    for world in worlds:
        await world.gateway.start()
    try:
        yield worlds
    finally:
        for world in worlds:
            await world.gateway.aclose()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a background task will do; a test that waits in vain is ended by its timeout."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - other processes' news, there is no event to wait for
            await asyncio.sleep(0.01)


def state(world: World) -> str:
    return str(world.gateway.status()["anthropic"]["breaker"])


async def test_it_costs_the_whole_fleet_five_calls_to_find_a_provider_dead(redis_url: str) -> None:
    dead = Dead()
    async with workers(4, redis_url) as fleet:
        for world in fleet:
            world.others = {"anthropic": dead, "openai": Willing()}
        for turn in range(20):
            await complete(fleet[turn % 4].chain(), request())
            await fleet[turn % 4].gateway.synchronise()
            if dead.asked == 5:
                await until(lambda: all(state(world) == "open" for world in fleet))
        assert dead.asked == 5


async def test_it_lets_one_worker_probe_in_a_cool_down(redis_url: str) -> None:
    dead = Dead()
    async with workers(3, redis_url) as fleet:
        for world in fleet:
            world.others = {"anthropic": dead, "openai": Willing()}
        for _ in range(5):
            await complete(fleet[0].chain(), request())
        await until(lambda: all(state(world) == "open" for world in fleet))
        for probes in (1, 2, 3):
            await until(
                lambda: all(not world.gateway.status()["anthropic"]["retry_after"] for world in fleet)
            )
            calls = [complete(world.chain(), request()) for world in fleet for _ in range(10)]
            assert [answer.text for answer in await asyncio.gather(*calls)] == ["second"] * 30
            assert dead.asked == 5 + probes


async def test_it_learns_of_an_opened_and_of_a_closed_breaker_from_the_others(redis_url: str) -> None:
    async with workers(2, redis_url) as (one, other):
        one.on("anthropic", failure(Failure.AUTHENTICATION, status=401))
        with pytest.raises(ProviderError):
            await complete(one.chain(CLAUDE), request())
        await until(lambda: state(other) == "open")
        with pytest.raises(ProviderError) as caught:
            await complete(other.chain(CLAUDE), request())
        assert caught.value.category is Failure.AUTHENTICATION, "the cause is shared too"
        assert other.journal.starts == []

        one.on("openai", *[failure(Failure.CONNECTION)] * 5)
        for _ in range(5):
            with pytest.raises(ChainUnavailable):
                await complete(one.chain("gpt-4o"), request())
        await until(lambda: other.gateway.status()["openai"]["breaker"] == "open")
        await until(lambda: not other.gateway.status()["openai"]["retry_after"])
        other.on("openai", reply("well"))
        await complete(other.chain("gpt-4o"), request())
        await until(lambda: one.gateway.status()["openai"]["breaker"] == "closed")


async def test_it_tells_a_new_worker_what_is_open(redis_url: str) -> None:
    async with workers(1, redis_url) as (one,):
        one.on("anthropic", failure(Failure.BILLING, status=402))
        with pytest.raises(ProviderError):
            await complete(one.chain(CLAUDE), request())
        await one.gateway.synchronise()
        async with workers(1, redis_url) as (late,):
            late.gateway._board.get("anthropic|https://anthropic.test|key-ours", "anthropic")
            assert state(late) == "open"


async def test_it_moves_another_workers_calls_that_have_no_byte(redis_url: str) -> None:
    async with workers(2, redis_url) as (one, other):
        other.on("anthropic", [asyncio.Event()])
        other.on("openai", reply("moved"))
        waiting = asyncio.create_task(complete(other.chain(), request()))
        await until(lambda: len(other.on("anthropic").requests) == 1)
        one.on("anthropic", *[failure(Failure.OVERLOADED, status=529)] * 3)
        for _ in range(3):
            with pytest.raises(ChainUnavailable):
                await complete(one.chain(CLAUDE), request())
        assert (await waiting).text == "moved"


async def test_it_issues_no_command_on_the_healthy_path(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(requests_per_minute=60_000, tokens_per_minute=600_000_000)
    async with workers(1, redis_url, limits=lambda model, credential: limits) as (world,):
        world.others = {"anthropic": Willing()}
        await complete(world.chain(), request())  # takes the first batch of the limits
        await world.gateway.synchronise()
        commanders = []
        ask = Link.ask

        async def noted(self: Link, *args: Any, **kwargs: Any) -> Any:
            commanders.append(asyncio.current_task())
            return await ask(self, *args, **kwargs)

        monkeypatch.setattr(Link, "ask", noted)
        for _ in range(100):
            await complete(world.chain(), request())
        assert asyncio.current_task() not in commanders


async def test_it_shares_one_limit_among_the_workers(redis_url: str) -> None:
    def limits_of(model: ModelInfo, credential: Credential) -> Limits:
        return Limits(requests_per_minute=12) if model.provider == "anthropic" else Limits()

    async with workers(3, redis_url, limits=limits_of) as fleet:
        for world in fleet:
            world.others = {"anthropic": Willing(), "openai": Willing()}
        asked = 0
        for turn in range(40):
            world = fleet[turn % 3]
            await complete(world.chain(), request())
            asked += world.journal.asked == [CLAUDE]
        # A worker may hold a part of its batch that it has no use for.
        assert 12 - 3 <= asked <= 13


@pytest.fixture
async def hung_redis() -> AsyncIterator[str]:
    """A server that accepts and stays silent."""
    writers = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"redis://{host}:{port}/0"
    server.close()
    for writer in writers:
        writer.close()
    await server.wait_closed()


@pytest.mark.parametrize("kind", ["hung", "refused"])
async def test_it_goes_on_alone_without_redis(
    kind: str, hung_redis: str, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    url = hung_redis if kind == "hung" else f"redis://127.0.0.1:{unused_tcp_port}/0"
    dead = Dead()
    limits = Limits(requests_per_minute=600)
    async with workers(2, url, limits=lambda model, credential: limits) as fleet:
        for world in fleet:
            world.others = {"anthropic": dead, "openai": Willing()}
            for _ in range(10):
                assert (await complete(world.chain(), request())).text == "second"
        assert dead.asked == 2 * 5, "each worker finds out by itself"
        for world in fleet:
            await until(lambda here=world: not here.gateway.status()["anthropic"]["retry_after"])  # type: ignore[misc]
            await asyncio.gather(*[complete(world.chain(), request()) for _ in range(10)])
        assert dead.asked == 2 * 5 + 2, "and probes by itself"
    away = [record for record in caplog.records if "Redis is away" in record.message]
    assert len(away) == 2, "once per worker"


async def test_it_shares_again_when_redis_is_back(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with workers(2, redis_url) as (one, other):
        link = one.gateway._link
        real, link._redis = link._redis, Redis.from_url("redis://127.0.0.1:1")
        await link.synchronise()
        assert not link.present
        one.on("anthropic", failure(Failure.AUTHENTICATION, status=401))
        with pytest.raises(ProviderError):
            await complete(one.chain(CLAUDE), request())
        link._redis = real
        await until(lambda: state(other) == "open")
        messages = [record.message for record in caplog.records if record.name == "agents.resilience.shared"]
        assert [message.partition(",")[0] for message in messages] == ["Redis is away", "Redis is back"]
