"""Our own limits in a process alone; shared ones are in tests/integration/test_shared_state.py."""

import asyncio

import pytest

from agents.providers.base import complete
from agents.providers.errors import ChainUnavailable, Failure
from agents.providers.types import Usage
from agents.resilience.ports import Credential, Limits, ModelInfo
from tests.unit.resilience_world import CLAUDE, World, reply, request, virtual


def limited(**limits: int) -> World:
    """A world in which only the first provider has limits."""

    def limits_of(model: ModelInfo, credential: Credential) -> Limits:
        return Limits(**limits) if model.provider == "anthropic" else Limits()

    return World(limits=limits_of)


@virtual
async def test_it_moves_on_when_the_requests_of_a_minute_are_used_up() -> None:
    world = limited(requests_per_minute=3)
    world.on("anthropic", *[reply()] * 3)
    world.on("openai", *[reply()] * 2)
    for _ in range(5):
        await complete(world.chain(), request())
    assert world.calls() == [3, 2, 0]
    assert world.journal.notes[0][1]["failure"] == Failure.RATE_LIMITED
    assert world.gateway.status()["anthropic"]["breaker"] == "closed", (
        "our own limit is not the vendor's fault"
    )


@virtual
async def test_it_says_when_the_next_request_is_due_and_lets_it_through_then() -> None:
    world = limited(requests_per_minute=3)
    world.on("anthropic", *[reply()] * 4)
    for _ in range(3):
        await complete(world.chain(), request())
    with pytest.raises(ChainUnavailable) as caught:
        await complete(world.chain(CLAUDE), request())
    assert caught.value.category is Failure.RATE_LIMITED
    assert caught.value.retry_after == pytest.approx(20)
    assert world.journal.starts == [], "nothing was sent, so nothing is written"
    await asyncio.sleep(20.1)
    await complete(world.chain(CLAUDE), request())


@virtual
async def test_it_counts_tokens_by_what_was_used_in_the_end() -> None:
    world = limited(tokens_per_minute=10_000)
    world.on(
        "anthropic",
        *[reply(usage=Usage(input=100, output=100))] * 10,
        reply(usage=Usage(input=9_000)),
        reply(),
    )
    for _ in range(11):
        await complete(world.chain(CLAUDE), request(max_tokens=4000))
    with pytest.raises(ChainUnavailable):
        await complete(world.chain(CLAUDE), request(max_tokens=4000))


@virtual
async def test_it_lets_a_request_through_that_is_larger_than_the_limit() -> None:
    world = limited(tokens_per_minute=1000)
    world.on("anthropic", reply())
    await complete(world.chain(CLAUDE), request(max_tokens=4000))


@virtual
async def test_it_gives_the_request_back_when_the_tokens_are_missing() -> None:
    world = limited(requests_per_minute=3, tokens_per_minute=1000)
    world.on("anthropic", reply(usage=Usage(input=1000)), reply())
    await complete(world.chain(CLAUDE), request(max_tokens=990))
    for _ in range(5):
        with pytest.raises(ChainUnavailable):
            await complete(world.chain(CLAUDE), request(max_tokens=990))
    await asyncio.sleep(1)  # enough for a few tokens, and not for a request
    await complete(world.chain(CLAUDE), request(max_tokens=5))
