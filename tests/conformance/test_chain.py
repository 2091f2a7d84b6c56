"""The table of failures over real sockets: the real SDKs, the real wire formats, exact numbers of calls.

Each vendor in turn is the failing primary; the next of the chain answers.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from agents.catalogue import Catalogue
from agents.providers.base import complete
from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from agents.providers.types import FinishReason, Message, ModelRequest, TextDelta
from agents.resilience.deadline import Deadlines
from agents.resilience.gateway import ModelGateway
from agents.resilience.ports import Credential
from tests.fakes.vendor import Vendor
from tests.fakes.vendor_script import GARBAGE, Fault, Reply
from tests.fakes.vendor_server import Vendors, vendor_servers
from tests.unit.resilience_world import ListJournal

F = Failure
MODELS = {"anthropic": "claude-sonnet-5-5", "openai": "gpt-6-sol", "google": "gemini-3.8-flash"}


class Keys:
    def __init__(self, vendors: Vendors) -> None:
        self.urls = {name: vendor.url for name, vendor in vendors.all.items()}
        self.key = "good"

    def get(self, project_id: str, provider: str) -> Credential | None:
        if provider not in MODELS:
            return None
        return Credential(self.key, self.urls[provider], f"{self.key}-{project_id}")


@dataclass
class Chained:
    """A gateway whose first candidate is `primary` and whose second is `second`."""

    gateway: ModelGateway
    keys: Keys
    vendors: Vendors
    primary: Vendor
    second: Vendor
    journal: ListJournal

    @property
    def models(self) -> list[str]:
        return [MODELS[self.primary.name], MODELS[self.second.name]]

    async def ask(self, *models: str, stream: bool = True, **options: Any) -> Any:
        self.journal = ListJournal()
        options.setdefault("total_timeout", 20.0)
        max_tokens = options.pop("max_tokens", 256)
        chain = self.gateway.chain("p", models or self.models, self.journal, **options)
        request = ModelRequest("", (Message("user", "Say something."),), max_tokens=max_tokens, stream=stream)
        return await complete(chain, request)

    async def hurry(self) -> None:
        """Have little patience from now on; only tests of silence do, as a busy machine is slow at times."""
        await self.gateway.aclose()
        self.gateway = ModelGateway(Catalogue.from_seed(), self.keys, deadlines=Deadlines(0.5, 0.5, 0.5))

    @property
    def calls(self) -> tuple[int, int]:
        return len(self.primary.calls), len(self.second.calls)


@pytest.fixture(scope="module")
def warm() -> None:
    """Import the SDKs and make their first calls: that takes longer than the deadlines of these tests."""

    async def call_each() -> None:
        async with vendor_servers() as vendors:
            gateway = ModelGateway(Catalogue.from_seed(), Keys(vendors))
            for model in MODELS.values():
                for stream in (True, False):
                    chain = gateway.chain("p", [model], ListJournal(), total_timeout=60)
                    await complete(chain, ModelRequest("", (Message("user", "Hello"),), stream=stream))
            await gateway.aclose()

    asyncio.run(call_each())


@pytest.fixture(params=["anthropic", "openai", "google"])
async def chained(request: pytest.FixtureRequest, warm: None) -> AsyncIterator[Chained]:
    order = list(MODELS)
    second = order[(order.index(request.param) + 1) % len(order)]
    async with vendor_servers() as vendors:
        keys = Keys(vendors)
        gateway = ModelGateway(Catalogue.from_seed(), keys, deadlines=Deadlines(10, 10, 10))
        chained = Chained(
            gateway, keys, vendors, vendors.all[request.param], vendors.all[second], ListJournal()
        )
        yield chained
        await chained.gateway.aclose()


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def status(code: int, error: str = "", **headers: str) -> Fault:
    return Fault(
        status=code, error=error, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


FALLS_BACK = [
    (status(401), 1, F.AUTHENTICATION),
    (status(403), 1, F.AUTHENTICATION),
    (status(402), 1, F.BILLING),
    (status(429, "insufficient_quota"), 1, F.BILLING),
    (status(404), 1, F.MODEL_NOT_FOUND),
    (status(408), 2, F.REQUEST_TIMEOUT),
    (status(409), 2, F.CONFLICT),
    (status(429, retry_after="0.1"), 2, F.RATE_LIMITED),
    (status(429, retry_after="90"), 1, F.RATE_LIMITED),
    (status(429, retry_after="86400"), 1, F.RATE_LIMITED),
    (status(500), 2, F.SERVER_ERROR),
    (status(502), 2, F.SERVER_ERROR),
    (status(503), 2, F.SERVER_ERROR),
    (status(504), 2, F.SERVER_ERROR),
    (status(529), 1, F.OVERLOADED),
    (Fault("reset"), 1, F.CONNECTION),
    (Fault("silence"), 1, F.DEADLINE),
    *[(Fault(kind), 2, F.MALFORMED) for kind in GARBAGE],
]


@pytest.mark.parametrize(("fault", "calls", "category"), FALLS_BACK, ids=lambda value: _name(value))
async def test_it_falls_back_after_as_many_calls_as_the_table_says(
    chained: Chained, streamed: bool, fault: Fault, calls: int, category: Failure
) -> None:
    if category is F.DEADLINE:
        await chained.hurry()
    chained.primary.script(*[fault] * calls)
    chained.second.script(Reply("from the second"))
    answer = await chained.ask(stream=streamed)
    assert (answer.text, answer.provider) == ("from the second", chained.second.name)
    assert chained.calls == (calls, 1)
    chained.primary.assert_complete()
    (hop,) = chained.journal.notes
    assert hop[1]["failure"] == category
    assert [end.state for end in chained.journal.ends] == ["failed"] * calls + ["succeeded"]


IN_STREAM = [
    (Fault("cut_stream"), 2, F.CUT_STREAM),
    (Fault("broken_stream"), 2, F.CUT_STREAM),
    (Fault("reset_in_stream"), 2, F.CUT_STREAM),
    (Fault("silence_in_stream"), 1, F.DEADLINE),
    (Fault("drip", interval=0.05), 1, F.DEADLINE),
]


@pytest.mark.parametrize(("fault", "calls", "category"), IN_STREAM, ids=lambda value: _name(value))
async def test_it_starts_again_from_scratch_when_a_stream_breaks(
    chained: Chained, fault: Fault, calls: int, category: Failure
) -> None:
    if fault.kind == "silence_in_stream":
        await chained.hurry()
    chained.primary.script(*[fault] * calls)
    chained.second.script(Reply("whole"))
    answer = await chained.ask(total_timeout=2.0 if fault.kind == "drip" else 20.0)
    assert answer.text == "whole"
    assert chained.calls == (calls, 1)
    assert chained.journal.notes[0][1]["failure"] == category


async def test_it_does_not_repeat_what_was_overloaded_inside_a_stream(chained: Chained) -> None:
    # Google has no word of its own for it: its 503 inside a stream is a cut stream, repeated once.
    word, calls, category = {
        "anthropic": ("overloaded_error", 1, F.OVERLOADED),
        "openai": ("server_is_overloaded", 1, F.OVERLOADED),
        "google": ("UNAVAILABLE", 2, F.CUT_STREAM),
    }[chained.primary.name]
    chained.primary.script(*[Fault("error_event", status=529, error=word)] * calls)
    chained.second.script(Reply("whole"))
    assert (await chained.ask()).text == "whole"
    assert chained.calls == (calls, 1)
    assert chained.journal.notes[0][1]["failure"] == category


@pytest.mark.parametrize("code", [400, 422])
async def test_it_fails_at_once_when_the_request_is_wrong(
    chained: Chained, streamed: bool, code: int
) -> None:
    chained.primary.script(status(code))
    with pytest.raises(ProviderError) as caught:
        await chained.ask(stream=streamed)
    assert caught.value.category is F.INVALID_REQUEST
    assert chained.calls == (1, 0)


async def test_it_retries_a_connection_that_was_refused(chained: Chained) -> None:
    chained.keys.urls[chained.primary.name] = chained.vendors.refused
    chained.second.script(Reply("reachable"))
    assert (await chained.ask()).text == "reachable"
    assert [end.failure for end in chained.journal.ends] == [F.CONNECTION, F.CONNECTION, None]
    assert [end.cost for end in chained.journal.ends[:2]] == [0.0, 0.0]


async def test_it_recovers_at_the_same_provider_when_one_retry_suffices(
    chained: Chained, streamed: bool
) -> None:
    chained.primary.script(status(503), Reply("recovered"))
    answer = await chained.ask(stream=streamed)
    assert (answer.text, answer.provider) == ("recovered", chained.primary.name)
    assert chained.journal.notes == []


async def test_it_raises_the_cap_of_a_truncated_reply_once(chained: Chained, streamed: bool) -> None:
    half = Reply("Half", finish=FinishReason.MAX_TOKENS)
    chained.primary.script(half, half)
    answer = await chained.ask(stream=streamed)
    assert answer.truncated
    assert chained.calls == (2, 0)
    assert [start.request.max_tokens for start in chained.journal.starts] == [256, 1024]


async def test_it_passes_a_refusal_on(chained: Chained, streamed: bool) -> None:
    chained.primary.script(Reply("I cannot", finish=FinishReason.REFUSAL))
    answer = await chained.ask(stream=streamed)
    assert answer.finish_reason is FinishReason.REFUSAL
    assert chained.calls == (1, 0)


async def test_it_waits_when_all_are_down(chained: Chained) -> None:
    for vendor in chained.vendors.all.values():
        vendor.always = status(529)
    with pytest.raises(ChainUnavailable) as caught:
        await chained.ask(*MODELS.values())
    assert caught.value.category is F.OVERLOADED
    assert [len(vendor.calls) for vendor in chained.vendors.all.values() if vendor.name in MODELS] == [
        1,
        1,
        1,
    ]


async def test_it_hangs_up_on_a_vendor_that_is_silent(chained: Chained) -> None:
    await chained.hurry()
    chained.primary.script(Fault("silence"))
    chained.second.script(Reply("quick"))
    await chained.ask()
    async with asyncio.timeout(5):
        await chained.primary.calls[0].gone.wait()


async def test_it_starts_nothing_again_once_a_listener_has_heard_something(chained: Chained) -> None:
    chained.primary.always = chained.second.always = Fault("cut_stream")
    chain = chained.gateway.chain("p", chained.models, ListJournal(), total_timeout=10, listening=True)
    heard = ""
    request = ModelRequest("", (Message("user", "Say something."),))
    with pytest.raises(ProviderError) as caught:  # noqa: PT012 - the loop is what raises
        async for chunk in chain.stream(request):
            heard += chunk.text if isinstance(chunk, TextDelta) else ""
    assert heard
    assert caught.value.output_already_sent
    assert chained.calls == (1, 0)


async def test_it_asks_a_dead_vendor_five_times_and_then_no_more(chained: Chained) -> None:
    await chained.hurry()
    chained.primary.always = Fault("silence")
    calls = [await chained.ask() for _ in range(8)]
    assert all(answer.provider == chained.second.name for answer in calls)
    assert chained.calls == (5, 8)


async def test_it_moves_calls_in_flight_when_the_breaker_opens(chained: Chained) -> None:
    chained.primary.script(*[Fault("silence")] * 20)
    moved = [asyncio.create_task(chained.ask()) for _ in range(20)]
    await chained.primary.wait_for_calls(20)
    chained.primary.always = status(529)
    for _ in range(3):
        await chained.ask()
    answers = await asyncio.gather(*moved)
    assert {answer.provider for answer in answers} == {chained.second.name}


async def test_it_records_each_request_the_vendor_saw(chained: Chained) -> None:
    chained.primary.script(status(500), Reply("ok"))
    await chained.ask()
    seen = [call.id for call in chained.primary.calls]
    assert len(chained.journal.ends) == len(seen) == 2
    assert chained.journal.ends[-1].request_id == seen[-1]


def _name(value: object) -> str:
    if isinstance(value, Fault):
        return (
            f"{value.status}-{value.error}-{value.headers.get('retry-after', '')}".strip("-")
            if value.kind == "status"
            else value.kind
        )
    return str(value)
