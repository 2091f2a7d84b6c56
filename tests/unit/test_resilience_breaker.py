"""Breakers within one process: many callers at once, one probe, calls that are moved."""

import asyncio
import logging

import pytest

from agents.providers.base import complete
from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from agents.providers.types import TextDelta
from agents.resilience.ports import CallEnd, CallStart
from tests.unit.resilience_world import (
    CLAUDE,
    GPT,
    ListJournal,
    World,
    done,
    failure,
    idle,
    now,
    reply,
    request,
    virtual,
)

F = Failure


async def open_breaker(world: World) -> None:
    """Let the primary fail until its breaker opens: three times overloaded counts six."""
    world.on("anthropic", *[failure(F.OVERLOADED, status=529)] * 3)
    for _ in range(3):
        with pytest.raises(ChainUnavailable):
            await complete(world.chain(CLAUDE), request())
    assert world.gateway.status()["anthropic"]["breaker"] == "open"


async def until_asked(world: World, kind: str, times: int) -> None:
    await idle()
    assert len(world.on(kind).requests) == times


@virtual
async def test_it_does_not_serialise_callers() -> None:
    world = World()
    go_on = asyncio.Event()
    world.on("anthropic", *[[go_on, TextDelta("x"), done()]] * 20)
    calls = [asyncio.create_task(complete(world.chain(), request())) for _ in range(20)]
    await until_asked(world, "anthropic", 20)
    go_on.set()
    assert [answer.text for answer in await asyncio.gather(*calls)] == ["x"] * 20


@virtual
async def test_it_lets_one_of_twenty_callers_probe() -> None:
    world = World()
    await open_breaker(world)
    await asyncio.sleep(30)
    go_on = asyncio.Event()
    world.on("anthropic", [go_on, TextDelta("probe"), done()])
    world.on("openai", *[reply("second")] * 19)
    calls = [asyncio.create_task(complete(world.chain(), request())) for _ in range(20)]
    await until_asked(world, "openai", 19)
    go_on.set()
    texts = [answer.text for answer in await asyncio.gather(*calls)]
    assert sorted(texts) == ["probe"] + ["second"] * 19
    assert world.gateway.status()["anthropic"]["breaker"] == "closed"


@virtual
async def test_it_probes_once_in_a_cool_down_while_the_provider_stays_dead() -> None:
    world = World()
    await open_breaker(world)
    for _ in range(3):
        await asyncio.sleep(30)
        world.on("anthropic", failure(F.CONNECTION))
        world.on("openai", *[reply()] * 10)
        for _ in range(10):
            await complete(world.chain(), request())
        world.on("anthropic").assert_complete()
    assert len(world.on("anthropic").requests) == 3 + 3


@virtual
async def test_it_moves_calls_without_a_byte_to_the_fallback_when_the_breaker_opens() -> None:
    world = World()
    never, talks = asyncio.Event(), asyncio.Event()
    world.on("anthropic", *[[never]] * 10, [TextDelta("It "), talks, TextDelta("talks"), done()])
    silent = [asyncio.create_task(complete(world.chain(), request())) for _ in range(10)]
    await until_asked(world, "anthropic", 10)
    heard = asyncio.create_task(complete(world.chain(), request()))
    await until_asked(world, "anthropic", 11)
    world.on("openai", *[reply("moved")] * 10)
    await open_breaker(world)
    assert [answer.text for answer in await asyncio.gather(*silent)] == ["moved"] * 10
    talks.set()
    assert (await heard).text == "It talks", "a call that has bytes is left alone"
    assert world.gateway.status()["anthropic"]["breaker"] == "open", "and its success is news of the past"


@virtual
async def test_it_moves_a_call_that_is_waiting_for_its_retry() -> None:
    world = World()
    world.on("anthropic", failure(F.SERVER_ERROR, status=503), [asyncio.Event()])
    began = now()
    retried = asyncio.create_task(complete(world.chain(), request()))
    await asyncio.sleep(1)
    assert world.calls() == [2, 0, 0]
    world.on("openai", reply("moved"))
    await open_breaker(world)
    assert (await retried).text == "moved"
    assert now() - began < 2, "it did not wait for its deadline"


@virtual
async def test_it_does_not_stay_open_longer_for_a_straggler() -> None:
    world = World()
    fails = asyncio.Event()
    world.on("anthropic", [TextDelta("half"), fails, failure(F.CUT_STREAM)])
    straggler = asyncio.create_task(complete(world.chain(), request()))
    await idle()
    await open_breaker(world)
    await asyncio.sleep(20)
    world.on("openai", reply())
    fails.set()
    await straggler
    await asyncio.sleep(10)
    world.on("anthropic", reply("probe"))
    assert (await complete(world.chain(), request())).text == "probe"


@virtual
async def test_it_settles_a_moved_call_as_cancelled() -> None:
    world = World()
    world.on("anthropic", [asyncio.Event()])
    world.on("openai", reply("moved"))
    chain = world.chain(CLAUDE, GPT)
    journal = world.journal
    call = asyncio.create_task(complete(chain, request()))
    await until_asked(world, "anthropic", 1)
    await open_breaker(world)
    await call
    assert [end.state for end in journal.ends] == ["cancelled", "succeeded"]
    assert journal.notes[0][1]["failure"] == F.BREAKER_OPEN


@virtual
async def test_it_does_not_take_a_cancelled_probe_for_an_answer() -> None:
    world = World()
    await open_breaker(world)
    await asyncio.sleep(30)
    world.on("anthropic", [asyncio.Event()])
    probe = asyncio.create_task(complete(world.chain(CLAUDE), request()))
    await until_asked(world, "anthropic", 4)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert world.gateway.status()["anthropic"]["breaker"] == "open"
    await asyncio.sleep(1)
    world.on("anthropic", reply("well again"))
    assert (await complete(world.chain(CLAUDE), request())).text == "well again"


@virtual
async def test_it_takes_a_polite_no_for_a_sign_of_life() -> None:
    world = World()
    await open_breaker(world)
    await asyncio.sleep(30)
    world.on("anthropic", failure(F.INVALID_REQUEST, status=400))
    with pytest.raises(ProviderError):
        await complete(world.chain(CLAUDE), request())
    assert world.gateway.status()["anthropic"]["breaker"] == "closed"


@virtual
async def test_it_costs_no_call_and_no_row_while_open() -> None:
    world = World()
    await open_breaker(world)
    world.on("openai", reply())
    await complete(world.chain(), request())
    assert world.journal.asked == [GPT]


@virtual
async def test_it_tells_the_observer_and_the_log_once_per_change(caplog: pytest.LogCaptureFixture) -> None:
    class Observer:
        def __init__(self) -> None:
            self.changes: list[tuple[str, Failure | None]] = []
            self.hops: list[tuple[str, str]] = []
            self.finished: list[str] = []

        def call_finished(self, start: CallStart, end: CallEnd) -> None:
            self.finished.append(end.state)

        def fallback(self, *, from_model: str, to_model: str, failure: Failure) -> None:
            self.hops.append((from_model, to_model))

        def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None:
            assert "secret" not in identity
            self.changes.append((state, cause))

    observer = Observer()
    world = World(observer=observer)
    world.on("anthropic", failure(F.AUTHENTICATION, status=401))
    world.on("openai", *[reply()] * 2)
    for _ in range(2):
        await complete(world.chain(), request())
    assert observer.changes == [("open", F.AUTHENTICATION)]
    assert observer.hops == [(CLAUDE, GPT)] * 2
    assert observer.finished == ["failed", "succeeded", "succeeded"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR], "a bad key is an alert"


@virtual
async def test_it_settles_the_row_of_a_cancelled_call() -> None:
    world = World()
    world.on("anthropic", [asyncio.Event()])
    call = asyncio.create_task(complete(world.chain(), request()))
    await until_asked(world, "anthropic", 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (end,) = world.journal.ends
    assert (end.state, end.failure) == ("cancelled", F.CANCELLED)
    assert end.cost == world.journal.starts[0].estimated_cost


@virtual
async def test_it_settles_even_when_cancelled_again_while_settling() -> None:
    world = World()
    settling, go_on = asyncio.Event(), asyncio.Event()

    class SlowJournal(ListJournal):
        async def settle(self, end: CallEnd) -> None:
            settling.set()
            await go_on.wait()
            await super().settle(end)

    journal = SlowJournal()
    world.on("anthropic", [TextDelta("x"), done()])
    chain = world.gateway.chain("", [CLAUDE], journal, total_timeout=100)
    call = asyncio.create_task(complete(chain, request()))
    await settling.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    await idle()
    assert journal.ends[0].state == "succeeded"


@virtual
async def test_it_settles_when_the_reader_walks_away() -> None:
    world = World()
    world.on("anthropic", [TextDelta("one"), TextDelta("two"), done()])
    stream = world.chain(listening=True).stream(request())
    await anext(stream)
    await stream.aclose()
    assert [end.state for end in world.journal.ends] == ["cancelled"]
