"""How every provider treats its connections: lost ones, abandoned ones, many at once."""

import asyncio
from typing import Any

import pytest

from agents.providers.base import complete
from agents.providers.errors import Failure
from agents.providers.types import Message, TextDelta
from tests.conformance.provider_case import Case
from tests.fakes.vendor_script import Fault, Reply

PATIENCE = 10.0  # seconds until a test that hangs is a failure; nothing is measured


@pytest.mark.parametrize("where", ["refused", "unknown host", "no tls"])
async def test_it_knows_that_nothing_was_sent(case: Case, where: str) -> None:
    urls = {
        "refused": case.vendors.refused,
        "unknown host": "http://nobody.invalid",
        "no tls": case.vendor.url.replace("http://", "https://"),
    }
    error = await case.fail(case.open(urls[where]))
    assert error.category is Failure.CONNECTION
    assert error.nothing_sent
    assert not case.vendor.calls


async def test_it_does_not_claim_so_after_a_reset(case: Case) -> None:
    case.vendor.script(Fault("reset"))
    error = await case.fail()
    assert error.category is Failure.CONNECTION
    assert not error.nothing_sent
    assert len(case.vendor.calls) == 1


async def test_it_hangs_up_when_cancelled_before_the_reply(case: Case) -> None:
    case.vendor.script(Fault("silence"))
    task = asyncio.create_task(case.ask())
    (call,) = await case.vendor.wait_for_calls(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(call.gone.wait(), PATIENCE)


async def test_it_hangs_up_when_cancelled_inside_the_reply(streamed: Case) -> None:
    streamed.vendor.script(Fault("silence_in_stream"))
    heard = asyncio.Event()

    async def listen() -> None:
        async for chunk in streamed.provider.stream(streamed.request()):
            if isinstance(chunk, TextDelta):
                heard.set()

    task = asyncio.create_task(listen())
    await asyncio.wait_for(heard.wait(), PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(streamed.last.gone.wait(), PATIENCE)


async def test_it_hangs_up_when_the_listener_stops(streamed: Case) -> None:
    streamed.vendor.script(Fault("silence_in_stream"))
    chunks = streamed.provider.stream(streamed.request())
    await anext(chunks)
    await chunks.aclose()
    await asyncio.wait_for(streamed.last.gone.wait(), PATIENCE)


async def test_it_answers_many_at_once_each_with_its_own(case: Case) -> None:
    replies = await asyncio.gather(*(case.ask(Message("user", f"number {n}.")) for n in range(50)))
    assert [f"number {n}." in reply.text for n, reply in enumerate(replies)] == [True] * 50
    assert len(case.vendor.calls) == 50


async def test_it_has_room_for_256_calls(streamed: Case) -> None:
    streamed.vendor.always = Fault("silence")
    tasks = [asyncio.create_task(streamed.ask()) for _ in range(256)]
    await asyncio.wait_for(streamed.vendor.wait_for_calls(256), PATIENCE)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_it_works_on_after_failures(case: Case) -> None:
    case.vendor.script(Fault("reset"), Fault("html"), Fault("broken_stream"), Fault(status=500))
    for _ in range(4):
        await case.fail()
    case.vendor.script(Reply("back again"))
    assert (await case.ask()).text == "back again"


async def test_it_reports_use_after_closing_as_ours(case: Case) -> None:
    provider = case.open(case.vendor.url)
    await provider.aclose()
    assert (await case.fail(provider)).category is Failure.INTERNAL


async def test_it_adds_the_query_of_an_azure_address(open_case: Any) -> None:
    case = open_case("openai_compatible")
    provider = case.open(case.vendor.url + "?api-version=2026-01-01")
    case.vendor.script(Reply("from azure"))
    assert (await complete(provider, case.request())).text == "from azure"
