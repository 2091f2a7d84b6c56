"""Callers who come by an offer: from the API to the end of the call."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.integration.doors_world import Client, client, exchange
from tests.integration.lines_world import Exchange, eventually, in_thread, until_true
from tests.integration.test_voice_webrtc import Page, tone
from voice import joining
from voice.api import joining as api
from voice.models import PhoneCall, VoiceSession, VoiceWorker

__all__ = ["client", "exchange"]


class NoCallsHere:
    """`voice.runtime` in a process that takes no calls."""

    @staticmethod
    def current() -> None:
        return None


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    page = Page()
    yield page
    await page.leave()


async def talk(exchange: Exchange, page: Page, answer: dict[str, str]) -> PhoneCall:
    """Take an answer, be heard, hear, leave; return the call's row when it is over."""
    await page.take({"sdp": answer["sdp"], "type": answer["type"]})
    await eventually(lambda: exchange.calls and len(exchange.calls[0].heard) > 10)
    await exchange.calls[0].transport.send_audio(tone(300))
    await eventually(lambda: any(page.loud))
    await page.leave()
    calls = PhoneCall.objects.filter(pk=answer["call_id"])
    await until_true(calls.filter(state=PhoneCall.State.ENDED).exists)
    row: PhoneCall = await in_thread(calls.get)
    return row


async def test_a_page_comes_in_by_the_sessions_token_alone(
    client: Client, exchange: Exchange, page: Page
) -> None:
    created = await client.session("webrtc")
    sdp, type = await page.offer()
    async with httpx2.AsyncClient() as browser:
        answer = await browser.post(created["transport"]["offer_url"], json={"sdp": sdp, "type": type})
    assert answer.status_code == 200, answer.text
    call = await talk(exchange, page, answer.json())
    assert (call.transport, call.session_id) == ("webrtc", created["session_id"])
    assert call.end_reason == "caller_hung_up"


async def test_a_client_brings_an_offer_to_the_process_it_asks(
    client: Client, exchange: Exchange, page: Page
) -> None:
    created = await client.session("webrtc")
    sdp, type = await page.offer()
    answer = await client.post(
        f"/api/voice/sessions/{created['session_id']}/webrtc", {"sdp": sdp, "type": type}
    )
    assert answer.status_code == 200, answer.content
    await talk(exchange, page, answer.json())


async def test_a_client_brings_an_offer_through_a_process_that_takes_no_calls(
    client: Client, exchange: Exchange, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await client.session("webrtc")
    sdp, type = await page.offer()
    monkeypatch.setattr(api, "runtime", NoCallsHere)
    answer = await client.post(
        f"/api/voice/sessions/{created['session_id']}/webrtc", {"sdp": sdp, "type": type}
    )
    assert answer.status_code == 200, answer.content
    await talk(exchange, page, answer.json())


async def test_the_process_is_asked_where_our_own_processes_reach_it(
    client: Client, exchange: Exchange, page: Page, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    created = await client.session("webrtc")
    await in_thread(VoiceWorker.objects.update, address="wss://mesh.example.invalid")
    settings.MESH_VOICE_INNER_URL = f"http://127.0.0.1:{exchange.port}"
    monkeypatch.setattr(api, "runtime", NoCallsHere)
    sdp, type = await page.offer()
    path = f"/api/voice/sessions/{created['session_id']}/webrtc"
    answer = await client.post(path, {"sdp": sdp, "type": type})
    assert answer.status_code == 200, answer.content
    await talk(exchange, page, answer.json())


async def test_nobody_comes_in_without_a_token_or_with_a_worn_one(client: Client, exchange: Exchange) -> None:
    created = await client.session("webrtc")
    url = created["transport"]["offer_url"]
    forged = url[:-3] + ("AAA" if url[-3:] != "AAA" else "BBB")
    async with httpx2.AsyncClient() as browser:
        assert (await browser.post(forged, json={})).status_code == 403
        assert (await browser.get(url)).status_code == 404
        assert (await browser.post(url, content=b"{")).json()["code"] == "malformed_json"
        assert (await browser.post(url, json={"sdp": 1})).json()["code"] == "validation_failed"
        assert (await browser.post(url, content=b"x" * 80_000)).status_code == 413
        await in_thread(VoiceSession.objects.update, expires_at="2020-01-01T00:00:00Z")
        answer = await browser.post(url, json={"sdp": "v=0", "type": "offer"})
        assert answer.json()["code"] == "session_over"
    assert await in_thread(PhoneCall.objects.count) == 0


async def test_a_bad_offer_gives_its_slot_back(client: Client, exchange: Exchange) -> None:
    created = await client.session("webrtc")
    for _ in range(2):
        answer = await client.post(
            f"/api/voice/sessions/{created['session_id']}/webrtc", {"sdp": "nonsense", "type": "offer"}
        )
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/sdp"
        await until_true(lambda: not PhoneCall.objects.exclude(state=PhoneCall.State.ENDED).exists())


async def test_it_is_busy_when_every_slot_is_taken(client: Client, exchange: Exchange, page: Page) -> None:
    first, second = await client.session("webrtc"), await client.session("webrtc")
    sdp, type = await page.offer()
    answers = [
        await client.post(f"/api/voice/sessions/{each['session_id']}/webrtc", {"sdp": sdp, "type": type})
        for each in (first, first, second)
    ]
    assert [answer.status_code for answer in answers] == [200, 409, 503]
    assert answers[2].json()["code"] == "lines_busy"


async def test_a_page_that_never_comes_frees_its_slot(
    client: Client, exchange: Exchange, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_OFFER_SECONDS", 0.2)
    created = await client.session("webrtc")
    sdp, type = await page.offer()
    await client.post(f"/api/voice/sessions/{created['session_id']}/webrtc", {"sdp": sdp, "type": type})
    await until_true(lambda: PhoneCall.objects.filter(end_reason="transport_lost").exists())
