"""Each row of the table of failures: how often whom is asked, what comes out, what the breaker does."""

from dataclasses import dataclass

import pytest

from agents.providers.base import complete
from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from tests.unit.resilience_world import CLAUDE, GPT, World, failure, reply, request, virtual


@dataclass(frozen=True)
class Row:
    category: Failure
    calls: int  # at the failing provider
    falls_back: bool
    waits: bool  # alone: ChainUnavailable, else a plain failure
    until_open: int | None  # requests until the breaker is open; None: never
    status: int | None = None
    nothing_sent: bool = False
    retry_after: float | None = None

    def errors(self) -> list[ProviderError]:
        fields = {"status": self.status, "nothing_sent": self.nothing_sent, "retry_after": self.retry_after}
        return [failure(self.category, **fields) for _ in range(self.calls)]


F = Failure
ROWS = [
    Row(F.INVALID_REQUEST, 1, False, False, None, status=400),
    Row(F.AUTHENTICATION, 1, True, False, 1, status=401),
    Row(F.BILLING, 1, True, False, 1, status=402),
    Row(F.MODEL_NOT_FOUND, 1, True, False, 1, status=404),
    Row(F.REQUEST_TIMEOUT, 2, True, False, 5, status=408),
    Row(F.CONFLICT, 2, True, False, None, status=409),
    Row(F.RATE_LIMITED, 2, True, True, 2, status=429, retry_after=2.0),
    Row(F.RATE_LIMITED, 1, True, True, 1, status=429, retry_after=90.0),
    Row(F.RATE_LIMITED, 1, True, True, 1, status=429),
    Row(F.SERVER_ERROR, 2, True, True, 5, status=503),
    Row(F.OVERLOADED, 1, True, True, 3, status=529),
    Row(F.CONNECTION, 2, True, True, 5, nothing_sent=True),
    Row(F.CONNECTION, 1, True, True, 5),
    Row(F.MALFORMED, 2, True, False, 5),
    Row(F.CUT_STREAM, 2, True, True, 5),
    Row(F.REFUSED, 1, False, False, None),
    Row(F.INTERNAL, 1, False, False, None),
]
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.category}-{row.retry_after or row.status}")


@rows
@virtual
async def test_it_falls_back_only_where_the_table_says(row: Row) -> None:
    world = World()
    world.on("anthropic", *row.errors())
    world.on("openai", reply("from the second"))
    if row.falls_back:
        answer = await complete(world.chain(), request())
        assert answer.text == "from the second"
        assert world.calls() == [row.calls, 1, 0]
        (event,) = world.journal.notes
        assert event[0] == "model.fallback"
        assert (event[1]["from"], event[1]["to"], event[1]["failure"]) == (CLAUDE, GPT, row.category)
    else:
        with pytest.raises(ProviderError) as caught:
            await complete(world.chain(), request())
        assert caught.value.category == row.category
        assert world.calls() == [row.calls, 0, 0]
        assert world.journal.notes == []


@rows
@virtual
async def test_it_waits_or_fails_when_nobody_else_is_left(row: Row) -> None:
    world = World()
    world.on("anthropic", *row.errors())
    with pytest.raises(ProviderError) as caught:
        await complete(world.chain(CLAUDE), request())
    assert isinstance(caught.value, ChainUnavailable) is row.waits
    assert caught.value.category == row.category
    assert world.calls() == [row.calls, 0, 0]
    assert [end.state for end in world.journal.ends] == ["failed"] * row.calls
    if row.waits:
        assert caught.value.retry_after == max(1.0, row.retry_after or 10.0)


@rows
@virtual
async def test_it_opens_the_breaker_after_as_many_calls_as_the_table_says(row: Row) -> None:
    world = World()
    primary = world.on("anthropic")
    for _ in range(8):
        primary.add(*row.errors())
        world.on("openai", reply())
        try:
            await complete(world.chain(), request())
        except ProviderError:
            assert not row.falls_back
    assert len(primary.requests) == (row.until_open or 8 * row.calls)


@virtual
async def test_it_answers_in_the_name_of_what_opened_the_breaker() -> None:
    world = World()
    world.on("anthropic", failure(F.AUTHENTICATION, status=401))
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            await complete(world.chain(CLAUDE), request())
        assert caught.value.category is F.AUTHENTICATION
        assert not isinstance(caught.value, ChainUnavailable)
    assert world.calls() == [1, 0, 0]


@virtual
async def test_it_keeps_one_tenants_bad_key_to_itself() -> None:
    world = World()
    world.on("anthropic", failure(F.AUTHENTICATION, status=401), reply("for the other"))
    world.on("openai", reply())
    await complete(world.chain(project="stranger"), request())
    answer = await complete(world.chain(project="owner"), request())
    assert answer.text == "for the other"


@virtual
async def test_it_opens_a_retired_models_breaker_for_that_model_only() -> None:
    world = World()
    world.on("anthropic", failure(F.MODEL_NOT_FOUND, status=404), reply("from the small one"))
    answer = await complete(world.chain(CLAUDE, "claude-haiku-5-5"), request())
    assert answer.text == "from the small one"


@virtual
async def test_it_forgets_failures_at_a_success() -> None:
    world = World()
    for _ in range(6):
        world.on("anthropic", failure(F.SERVER_ERROR, status=500), reply())
        await complete(world.chain(CLAUDE), request())
    assert world.gateway.status()["anthropic"]["breaker"] == "closed"
