"""What is written down about each call, and what it is said to cost."""

import asyncio

import pytest

from agents.providers.base import complete
from agents.providers.errors import Failure, ProviderError
from agents.providers.types import Price, TextDelta, ToolDefinition, Usage
from agents.resilience.recorder import cost, estimated_cost, estimated_tokens
from tests.unit.resilience_world import CLAUDE, World, failure, reply, request, virtual

SONNET = Price(input=2.0, output=10.0, cached=0.1)


@virtual
async def test_it_writes_the_call_before_and_the_reply_after() -> None:
    world = World()
    world.on(
        "anthropic",
        reply("Good day", usage=Usage(input=1_000_000, output=100_000, cached=500_000), request_id="req"),
    )
    answer = await complete(world.chain(), request(max_tokens=1000))
    (start,), (end,) = world.journal.starts, world.journal.ends
    assert (start.provider, start.model) == ("anthropic", CLAUDE)
    assert start.estimated_cost == pytest.approx((2 * 2.0 + 1000 * 10.0) / 1e6)
    assert (end.call_id, end.state, end.reply, end.request_id) == ("call_1", "succeeded", answer, "req")
    assert end.cost == pytest.approx(0.5 * 2.0 + 0.5 * 0.1 + 0.1 * 10.0)
    assert end.first_token_ms is not None


@pytest.mark.parametrize(
    ("error", "free"),
    [
        (failure(Failure.INVALID_REQUEST, status=400), True),
        (failure(Failure.CONNECTION, nothing_sent=True), True),
        (failure(Failure.CONNECTION), False),
        (failure(Failure.CUT_STREAM), False),
        (failure(Failure.MALFORMED, status=200), False),
    ],
    ids=lambda value: str(getattr(value, "category", value)),
)
@virtual
async def test_it_books_the_estimate_for_what_the_vendor_may_have_charged(
    error: ProviderError, free: bool
) -> None:
    world = World()
    world.on("anthropic", error, error)
    with pytest.raises(ProviderError):
        await complete(world.chain(CLAUDE), request())
    assert world.journal.ends[0].cost == (0.0 if free else world.journal.starts[0].estimated_cost)


@virtual
async def test_it_turns_an_exception_of_ours_into_a_loud_internal_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.on("anthropic", ZeroDivisionError("oops"))
    with pytest.raises(ProviderError) as caught:
        await complete(world.chain(), request())
    assert caught.value.category is Failure.INTERNAL
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert world.journal.ends[0].failure is Failure.INTERNAL
    assert world.calls() == [1, 0, 0], "no retry, no fallback"
    assert "ZeroDivisionError" in caplog.text


def test_it_estimates_four_characters_a_token_with_tools() -> None:
    asked = request("x" * 400)
    assert estimated_tokens(asked) == 101
    tool = ToolDefinition("look_up", "d" * 400, {"type": "object"})
    assert estimated_tokens(request("x" * 400, tools=(tool,))) > 201


def test_it_estimates_the_most_a_call_can_cost() -> None:
    asked = request("x" * 3996, max_tokens=500)
    assert estimated_cost(asked, SONNET) == pytest.approx((1000 * 2.0 + 500 * 10.0) / 1e6)


def test_it_charges_cached_input_in_full_when_its_price_is_unknown() -> None:
    usage = Usage(input=1_000_000, cached=1_000_000)
    assert cost(usage, SONNET) == pytest.approx(0.1)
    assert cost(usage, Price(input=2.0, output=10.0)) == pytest.approx(2.0)


@virtual
async def test_it_books_a_reply_that_was_cut_off_by_what_was_seen_of_it() -> None:
    world = World()
    world.on("anthropic", [TextDelta("12345678"), asyncio.Event()])
    stream = world.chain(CLAUDE, listening=True).stream(request("x" * 400, max_tokens=1000))
    assert await anext(stream) == TextDelta("12345678")
    await stream.aclose()
    [end] = world.journal.ends
    assert (end.state, end.usage) == ("cancelled", Usage(input=101, output=2))
    assert end.cost == pytest.approx((101 * 2.0 + 2 * 10.0) / 1e6)


@virtual
async def test_it_books_the_estimate_for_a_reply_that_was_cut_off_before_a_word() -> None:
    world = World()
    world.on("anthropic", [TextDelta(""), asyncio.Event()])
    stream = world.chain(CLAUDE, listening=True).stream(request())
    await anext(stream)
    await stream.aclose()
    assert world.journal.ends[0].cost == world.journal.starts[0].estimated_cost
