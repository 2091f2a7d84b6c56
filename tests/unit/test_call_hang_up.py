"""A caller may be gone at any moment. `World.live` asserts that everything is free within half a second."""

import asyncio

import pytest

from tests.fakes.virtual_time import virtual
from tests.unit.call_world import World, pause, session
from voice.pipeline.ports import ReplyAction, ReplyText

LONG = "This is quite a long answer that takes several seconds to say, so that there is time to hang up."


@virtual
async def test_it_ends_while_greeting() -> None:
    world = World(config=session(greeting=LONG))
    async with world.live():
        await pause(700)
    [turn] = world.log.turns
    assert turn.interrupted
    assert LONG.startswith(turn.heard_text)
    assert 0 < len(turn.heard_text) < 40


@virtual
async def test_it_ends_while_the_caller_speaks() -> None:
    world = World(config=session(speculate=True))
    async with world.live():
        world.voice(3000)
        await pause(1000)
        world.listener.hear("and then I")
        await pause(300)


@virtual
async def test_it_ends_while_a_guess_is_alive() -> None:
    world = World(config=session(speculate=True))
    world.responder.scripts = [[60_000.0]]
    async with world.live():
        await world.say("good morning")
        await world.until(lambda: world.responder.requests)
    assert world.responder.cancelled == ["good morning"]
    assert world.log.turns == []


@virtual
async def test_it_ends_while_the_agent_thinks() -> None:
    world = World()
    world.responder.scripts = [[60_000.0]]
    async with world.live():
        await world.say("good morning")
        await world.until(lambda: world.responder.requests)
    assert world.responder.cancelled == ["good morning"]
    assert world.log.turns[0].caller_text == "good morning"
    assert world.log.turns[0].interrupted


@pytest.mark.parametrize("milliseconds", [0, 150])
@virtual
async def test_it_ends_while_the_agent_speaks_or_is_paused(milliseconds: int) -> None:
    world = World()
    world.responder.scripts = [[ReplyText(LONG), 9000.0]]
    async with world.live():
        await world.say("good morning")
        await world.until(lambda: world.transport.playing)
        await pause(1000)
        world.voice(milliseconds)
        await pause(milliseconds)
    assert world.speaker.closed == 1
    assert world.responder.cancelled == ["good morning"]


@virtual
async def test_it_ends_while_the_agent_is_being_cut_short() -> None:
    world = World(config=session(greeting=LONG))

    async def slow() -> None:
        await pause(900)

    world.transport.clear = slow  # type: ignore[method-assign]
    async with world.live() as call:
        await pause(700)
        call.digit("1")
        await pause(10)
    assert [turn.interrupted for turn in world.log.turns] == [True]


@virtual
async def test_it_ends_while_the_recogniser_is_still_being_opened() -> None:
    world = World()

    async def never(config: object) -> object:
        await asyncio.Event().wait()
        raise AssertionError

    world.open_listener = never  # type: ignore[method-assign, assignment]
    async with world.live():
        await pause(100)


@virtual
async def test_it_ends_while_a_transfer_is_under_way() -> None:
    world = World()
    assert world.line is not None

    async def slow(to: str, *, mode: str, summary: str) -> None:
        await pause(60_000)

    world.line.transfer = slow  # type: ignore[method-assign]
    world.responder.scripts = [[ReplyAction("transfer", {"to": "+15005550006"})]]
    async with world.live():
        await world.say("a person please")
        await pause(2000)


@virtual
async def test_it_ends_once_whichever_way_it_is_told_first() -> None:
    world = World()
    async with world.live() as call:
        call.end("transport_lost")
        call.end("caller_hung_up")
        call.audio(b"\xff" * 160, 0.0)
        call.digit("1")
        await world.running
        call.audio(b"\xff" * 160, 20.0)
        call.mark("m1")
        call.digit("1")
        call.end("drained")
    assert world.summary.reason == "transport_lost"
    assert len(world.log.of("call.ended")) == 1
    assert world.transport.closed == 1


@virtual
async def test_it_ends_when_the_transport_takes_no_audio_any_more() -> None:
    world = World(config=session(greeting=LONG))
    async with world.live():
        await pause(500)
        world.transport.broken = True
        await world.running
    assert world.summary.reason == "transport_lost"


@virtual
async def test_it_ends_when_it_is_cancelled() -> None:
    world = World(config=session(greeting=LONG))

    async def cancelled() -> None:
        async with world.live():
            await pause(500)
            world.running.cancel()
            await asyncio.wait({world.running})

    with pytest.raises(asyncio.CancelledError):
        await cancelled()
    assert world.log.summaries[0].reason == "cancelled"
    assert world.transport.closed == 1


@virtual
async def test_it_ends_in_time_though_everything_it_closes_hangs() -> None:
    world = World()

    async def hang() -> None:
        await asyncio.Event().wait()

    async with world.live():
        await world.say("good morning")
        for part in (world.listener, world.speaker, world.responder, world.transport):
            closing = part.aclose

            async def slow(closing=closing) -> None:
                await closing()
                await hang()

            part.aclose = slow  # type: ignore[method-assign]


@virtual
async def test_it_ends_and_says_why_when_there_is_a_bug_in_it() -> None:
    world = World()

    async def bug() -> None:
        raise ZeroDivisionError("a bug")

    async with world.live() as call:
        call._tasks.spawn(bug(), "bug")
        await world.running
    assert world.summary.reason == "failed"
    assert "ZeroDivisionError" in world.summary.error
