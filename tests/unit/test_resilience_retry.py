"""The one retry: where, how long it waits, and when it is left out."""

import asyncio

import pytest

from agents.providers.base import complete
from agents.providers.errors import Failure, ProviderError
from agents.providers.scripted import ScriptedProvider
from agents.providers.types import FinishReason, TextDelta
from agents.resilience.deadline import Budget
from agents.resilience.ports import PastTry
from agents.resilience.retry import Retry
from tests.unit.resilience_world import CLAUDE, World, done, failure, now, read, reply, request, virtual


@virtual
async def test_it_repeats_a_server_error_once_after_a_short_jittered_pause() -> None:
    world = World()
    world.on("anthropic", failure(Failure.SERVER_ERROR, status=503), reply("second try"))
    began = now()
    assert (await complete(world.chain(), request())).text == "second try"
    assert 0.1 <= now() - began <= 0.4
    assert world.calls() == [2, 0, 0]
    assert world.journal.notes == []


@virtual
async def test_it_waits_out_a_short_limit() -> None:
    world = World()
    world.on("anthropic", failure(Failure.RATE_LIMITED, status=429, retry_after=2.0), reply("after the wait"))
    began = now()
    assert (await complete(world.chain(), request())).text == "after the wait"
    assert 2.0 <= now() - began <= 2.1
    world.on("anthropic", *[reply("at once")] * 5)
    answers = await asyncio.gather(*[complete(world.chain(), request()) for _ in range(5)])
    assert {answer.text for answer in answers} == {"at once"}, "who waited it out has ended the limit for all"


@pytest.mark.parametrize("total", [100.0, 4.0])
@virtual
async def test_it_does_not_wait_longer_than_five_seconds_or_a_quarter_of_the_budget(total: float) -> None:
    world = World()
    world.on("anthropic", failure(Failure.RATE_LIMITED, status=429, retry_after=6.0 if total == 100 else 2.0))
    world.on("openai", reply())
    began = now()
    await complete(world.chain(total_timeout=total), request())
    assert now() == began
    assert world.calls() == [1, 1, 0]


@virtual
async def test_it_starts_a_cut_stream_again_from_scratch_while_nobody_listens() -> None:
    world = World()
    cut = [TextDelta("Half a"), failure(Failure.CUT_STREAM)]
    world.on("anthropic", cut, reply("Whole"))
    assert (await complete(world.chain(), request())).text == "Whole"


@virtual
async def test_it_counts_a_stream_without_an_end_as_cut() -> None:
    world = World()
    world.on("anthropic", [TextDelta("no end")], reply("Whole"))
    assert (await complete(world.chain(), request())).text == "Whole"
    assert world.journal.ends[0].failure is Failure.CUT_STREAM


@virtual
async def test_it_says_so_when_a_listener_has_already_heard_half() -> None:
    world = World()
    world.on("anthropic", [TextDelta("Half a"), failure(Failure.CUT_STREAM)])
    stream = world.chain(listening=True).stream(request())
    assert await anext(stream) == TextDelta("Half a")
    with pytest.raises(ProviderError) as caught:
        await anext(stream)
    assert caught.value.output_already_sent
    assert world.calls() == [1, 0, 0]


@virtual
async def test_it_retries_and_falls_back_for_a_listener_who_has_heard_nothing() -> None:
    world = World()
    broken = [TextDelta(""), failure(Failure.CUT_STREAM)]
    world.on("anthropic", broken, broken)
    world.on("openai", [TextDelta("All"), done()])
    chunks = await read(world.chain(listening=True).stream(request()))
    assert chunks == [TextDelta(""), TextDelta(""), TextDelta("All"), done()]


@virtual
async def test_it_passes_chunks_to_a_listener_as_they_come() -> None:
    world = World()
    go_on = asyncio.Event()
    world.on("anthropic", [TextDelta("one"), go_on, TextDelta("two"), done()])
    stream = world.chain(listening=True).stream(request())
    assert await anext(stream) == TextDelta("one")
    go_on.set()
    assert await read(stream) == [TextDelta("two"), done()]


@virtual
async def test_it_raises_the_cap_once_when_the_reply_is_truncated() -> None:
    world = World()
    world.on("anthropic", reply("Half", finish_reason=FinishReason.MAX_TOKENS), reply("All of it"))
    answer = await complete(world.chain(), request(max_tokens=100))
    assert (answer.text, answer.truncated) == ("All of it", False)
    assert [asked.max_tokens for asked in world.on("anthropic").requests] == [100, 400]
    assert [(end.state, end.failure) for end in world.journal.ends] == [
        ("failed", Failure.TRUNCATED),
        ("succeeded", None),
    ]
    assert world.journal.ends[0].cost > 0


@virtual
async def test_it_marks_a_reply_truncated_that_is_cut_by_the_raised_cap_too() -> None:
    world = World()
    half = reply("Half", finish_reason=FinishReason.MAX_TOKENS)
    world.on("anthropic", half, half)
    answer = await complete(world.chain(), request(max_tokens=100))
    assert answer.truncated
    assert world.calls() == [2, 0, 0]


@virtual
async def test_it_never_asks_for_more_than_the_model_can_say() -> None:
    world = World()
    world.on("anthropic", reply("Long", finish_reason=FinishReason.MAX_TOKENS))
    answer = await complete(world.chain(), request(max_tokens=500_000))
    assert answer.truncated
    assert [asked.max_tokens for asked in world.on("anthropic").requests] == [128_000]


@virtual
async def test_it_does_not_repeat_what_the_breaker_objects_to() -> None:
    provider = ScriptedProvider([failure(Failure.SERVER_ERROR)])
    with pytest.raises(ProviderError):
        await read(Retry(provider, Budget(10, now), on_failure=lambda error: False).stream(request()))
    provider.assert_complete()


@pytest.mark.parametrize(
    ("past", "calls"),
    [
        ([Failure.SERVER_ERROR], [1, 1, 0]),
        ([Failure.SERVER_ERROR, Failure.SERVER_ERROR], [0, 1, 0]),
        ([Failure.OVERLOADED], [0, 1, 0]),
        ([Failure.RATE_LIMITED], [0, 1, 0]),
        ([Failure.AUTHENTICATION], [0, 1, 0]),
        ([None], [2, 1, 0]),
        ([Failure.SERVER_ERROR, None], [1, 1, 0]),
        ([Failure.CANCELLED], [2, 1, 0]),
    ],
    ids=str,
)
@virtual
async def test_it_resumes_where_a_killed_attempt_stood(past: list[Failure | None], calls: list[int]) -> None:
    world = World()
    world.on("anthropic", *[failure(Failure.SERVER_ERROR)] * calls[0])
    world.on("openai", reply())
    await complete(world.chain(past=[PastTry("anthropic", CLAUDE, item) for item in past]), request())
    assert world.calls() == calls


@virtual
async def test_it_resumes_a_truncated_reply_with_the_raised_cap() -> None:
    world = World()
    world.on("anthropic", reply("Half", finish_reason=FinishReason.MAX_TOKENS))
    past = [PastTry("anthropic", CLAUDE, Failure.TRUNCATED)]
    await complete(world.chain(past=past), request(max_tokens=100))
    assert [asked.max_tokens for asked in world.on("anthropic").requests] == [400]
