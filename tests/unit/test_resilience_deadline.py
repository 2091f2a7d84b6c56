"""Our deadlines: first byte, idle, total, and what is left for the next candidate."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from agents.providers.base import complete
from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from agents.providers.types import Chunk, ModelRequest, TextDelta
from agents.resilience.deadline import Budget, Deadline, Deadlines
from tests.unit.resilience_world import CLAUDE, World, done, now, read, reply, request, virtual

LIMITS = Deadlines(first_byte=10, idle=5, whole_reply=40)


class Slow:
    """Yields a chunk after each pause, for ever if `pauses` ends with an ellipsis."""

    def __init__(self, *pauses: float, forever: bool = False) -> None:
        self.pauses = pauses
        self.forever = forever
        self.closed_at: float | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        try:
            for pause in self.pauses:
                await asyncio.sleep(pause)
                yield TextDelta(".")
            while self.forever:
                await asyncio.sleep(self.pauses[-1])
                yield TextDelta(".")
            yield done()
        finally:
            self.closed_at = now()

    async def aclose(self) -> None: ...


@pytest.mark.parametrize(
    ("provider", "streamed", "ends_after"),
    [
        (Slow(11), True, 10),
        (Slow(9, 6), True, 14),
        (Slow(3, forever=True), True, 100),
        (Slow(41), False, 40),
    ],
    ids=["first byte", "idle", "drip-feed", "whole reply"],
)
@virtual
async def test_it_ends_a_slow_try_and_closes_its_socket(
    provider: Slow, streamed: bool, ends_after: float
) -> None:
    began = now()
    with pytest.raises(ProviderError) as caught:
        await read(Deadline(provider, LIMITS, Budget(100, now)).stream(request(stream=streamed)))
    assert caught.value.category is Failure.DEADLINE
    assert now() - began == pytest.approx(ends_after)
    assert provider.closed_at == now()


@virtual
async def test_it_lets_a_whole_reply_take_longer_than_a_first_byte() -> None:
    chunks = await read(Deadline(Slow(30), LIMITS, Budget(100, now)).stream(request(stream=False)))
    assert chunks == [TextDelta("."), done()]


@virtual
async def test_it_takes_any_chunk_for_a_sign_of_life() -> None:
    chunks = await read(Deadline(Slow(9, 4, 4, 4), LIMITS, Budget(100, now)).stream(request()))
    assert len(chunks) == 5


@virtual
async def test_it_does_not_cancel_a_slow_reader() -> None:
    async for _ in Deadline(Slow(1, 1), LIMITS, Budget(100, now)).stream(request()):
        await asyncio.sleep(30)


@virtual
async def test_it_falls_back_after_silence_without_a_retry() -> None:
    world = World(deadlines=LIMITS)
    world.others["anthropic"] = Slow(11)
    world.on("openai", reply("the second"))
    assert (await complete(world.chain(), request())).text == "the second"
    assert len(world.journal.starts) == 2


@virtual
async def test_it_leaves_the_next_candidate_a_quarter_of_the_budget_at_least() -> None:
    world = World(deadlines=LIMITS)
    world.others["anthropic"] = Slow(4, forever=True)
    world.on("openai", reply("in time"))
    began = now()
    assert (await complete(world.chain(), request())).text == "in time"
    assert now() - began == pytest.approx(70)


@virtual
async def test_it_does_not_fall_back_when_the_budget_is_nearly_used_up() -> None:
    world = World(deadlines=LIMITS)
    world.others["anthropic"] = world.others["openai"] = Slow(4, forever=True)
    with pytest.raises(ProviderError) as caught:
        await complete(world.chain(), request())
    assert caught.value.category is Failure.DEADLINE
    assert not isinstance(caught.value, ChainUnavailable)
    assert world.calls() == [0, 0, 0]
    assert len(world.journal.starts) == 2, "the third would have had 9 % of the time"


@virtual
async def test_it_asks_to_be_called_again_when_a_silent_provider_leaves_time() -> None:
    world = World(deadlines=LIMITS)
    world.others["anthropic"] = Slow(11)
    with pytest.raises(ChainUnavailable) as caught:
        await complete(world.chain(CLAUDE), request())
    assert caught.value.category is Failure.DEADLINE


@virtual
async def test_it_gives_the_last_candidate_all_the_time_there_is() -> None:
    world = World(deadlines=LIMITS)
    world.others["anthropic"] = Slow(*[4] * 24)
    began = now()
    await complete(world.chain(CLAUDE), request())
    assert now() - began == pytest.approx(96)
