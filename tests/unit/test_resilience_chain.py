"""What a chain does besides the table: translation, windows, refusals, the error it ends in."""

import pytest

from agents.providers.base import complete
from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from agents.providers.types import FinishReason, Message, ModelRequest, Opaque, ToolCallDelta
from agents.resilience.ports import PastTry
from tests.unit.resilience_world import CLAUDE, GEMINI, GPT, World, done, failure, reply, request, virtual

F = Failure


@virtual
async def test_it_strips_what_only_another_model_understands() -> None:
    own = Opaque("anthropic", CLAUDE, ({"type": "thinking"},))
    sibling = Opaque("anthropic", "claude-haiku-5-5", ({"type": "thinking"},))
    history = (
        Message("user", "Hello"),
        Message("assistant", "a", opaque=own),
        Message("assistant", "b", opaque=sibling),
    )
    world = World()
    world.on("anthropic", failure(F.OVERLOADED))
    world.on("openai", reply())
    await complete(world.chain(), ModelRequest(CLAUDE, history))
    (to_claude,), (to_gpt,) = world.on("anthropic").requests, world.on("openai").requests
    assert [message.opaque for message in to_claude.messages] == [None, own, None]
    assert [message.opaque for message in to_gpt.messages] == [None, None, None]
    assert (to_claude.model, to_gpt.model) == (CLAUDE, GPT)


@virtual
async def test_it_tells_the_journal_which_name_was_asked_for() -> None:
    world = World()
    world.on("openai", reply())
    await complete(world.chain("gpt-4o"), request())
    (start,) = world.journal.starts
    assert (start.requested_model, start.model, start.provider) == ("gpt-4o", GPT, "openai")


@virtual
async def test_it_takes_a_context_that_is_too_long_only_to_a_larger_window() -> None:
    world = World()
    world.on("anthropic", failure(F.CONTEXT_TOO_LONG, status=413))
    world.on("google", reply("read it all"))
    answer = await complete(world.chain(CLAUDE, "claude-haiku-5-5", GEMINI), request())
    assert answer.text == "read it all"
    assert world.journal.asked == [CLAUDE, GEMINI]


@virtual
async def test_it_fails_when_no_window_is_larger() -> None:
    world = World()
    world.on("openai", failure(F.CONTEXT_TOO_LONG, status=400))
    with pytest.raises(ProviderError) as caught:
        await complete(world.chain(GPT, CLAUDE, GEMINI), request())
    assert caught.value.category is F.CONTEXT_TOO_LONG
    assert world.journal.asked == [GPT]


@virtual
async def test_it_passes_a_refusal_on() -> None:
    world = World()
    world.on("anthropic", reply("I cannot", finish_reason=FinishReason.REFUSAL))
    answer = await complete(world.chain(), request())
    assert answer.finish_reason is FinishReason.REFUSAL
    assert world.calls() == [1, 0, 0]


@virtual
async def test_it_falls_back_on_a_refusal_by_policy() -> None:
    world = World()
    world.on("anthropic", reply("I cannot", finish_reason=FinishReason.REFUSAL))
    world.on("openai", reply("I can"))
    answer = await complete(world.chain(fall_back_on_refusal=True), request())
    assert answer.text == "I can"
    assert [end.failure for end in world.journal.ends] == [F.REFUSED, None]


@virtual
async def test_it_leaves_the_first_bad_tool_call_to_be_repaired_and_falls_back_at_the_second() -> None:
    bad = [ToolCallDelta(0, "id", "look_up", "{nonsense"), done(FinishReason.TOOL_CALLS)]
    world = World()
    world.on("anthropic", bad, bad)
    world.on("openai", reply("sound"))
    with pytest.raises(ProviderError) as caught:
        await complete(world.chain(), request())
    assert caught.value.category is F.SCHEMA_MISMATCH
    past = [PastTry("anthropic", CLAUDE, F.SCHEMA_MISMATCH)]
    answer = await complete(world.chain(past=past), request("Repair this."))
    assert answer.text == "sound"
    assert world.calls() == [2, 1, 0]


@virtual
async def test_it_waits_for_the_soonest_candidate() -> None:
    world = World()
    world.on("anthropic", failure(F.RATE_LIMITED, status=429, retry_after=90))
    world.on("openai", failure(F.RATE_LIMITED, status=429, retry_after=86_400))
    world.on("google", failure(F.RATE_LIMITED, status=429, retry_after=45))
    with pytest.raises(ChainUnavailable) as caught:
        await complete(world.chain(), request())
    assert (caught.value.category, caught.value.retry_after) == (F.RATE_LIMITED, 45)
    with pytest.raises(ChainUnavailable) as caught:
        await complete(world.chain(GPT), request())
    assert caught.value.retry_after == 600, "a day is asked again after ten minutes"
    assert world.calls() == [1, 1, 1], "and nobody was asked the second time"


@virtual
async def test_it_waits_when_one_is_down_and_another_is_wrong_for_good() -> None:
    world = World()
    world.on("anthropic", failure(F.OVERLOADED, status=529))
    world.on("openai", failure(F.AUTHENTICATION, status=401))
    with pytest.raises(ChainUnavailable) as caught:
        await complete(world.chain(CLAUDE, GPT), request())
    assert caught.value.category is F.OVERLOADED


@virtual
async def test_it_fails_when_all_are_wrong_for_good() -> None:
    world = World()
    world.on("anthropic", failure(F.MODEL_NOT_FOUND, status=404))
    world.on("openai", failure(F.AUTHENTICATION, status=401))
    with pytest.raises(ProviderError) as caught:
        await complete(world.chain(CLAUDE, GPT), request())
    assert not isinstance(caught.value, ChainUnavailable)
    assert caught.value.category is F.AUTHENTICATION


@virtual
async def test_it_notes_each_hop_to_the_candidate_that_was_really_asked() -> None:
    world = World()
    world.on("anthropic", failure(F.AUTHENTICATION, status=401))
    world.on("openai", failure(F.AUTHENTICATION, status=401))
    world.on("google", reply(), reply())
    await complete(world.chain(), request())
    assert [(note["from"], note["to"]) for _, note in world.journal.notes] == [(CLAUDE, GPT), (GPT, GEMINI)]
    await complete(world.chain(), request())
    assert [(note["from"], note["to"]) for _, note in world.journal.notes] == [(CLAUDE, GEMINI)]


@virtual
async def test_it_lets_the_journal_forbid_a_call() -> None:
    class LeaseLost(Exception):
        pass

    async def refuse(start: object) -> str:
        raise LeaseLost

    world = World()
    chain = world.chain()
    world.journal.begin = refuse  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        await complete(chain, request())
    assert world.calls() == [0, 0, 0]
