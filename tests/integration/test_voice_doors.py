"""Callers who come by an offer, or into a vendor's room: from the API to the end of the call."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import StringIO
from typing import Any

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import AsyncClient
from livekit.protocol.models import Room

from networks.models import Scope
from networks.services import create_api_key, create_project
from tests.fakes.daily import DailyServer
from tests.fakes.livekit import LiveKitServer
from tests.fakes.livekit_rtc import Rtc, microphone, participant
from tests.integration.lines_world import Exchange, eventually, in_thread, make_number, until_true
from tests.integration.test_voice_webrtc import Page, tone
from voice import joining
from voice.api import joining as api
from voice.models import PhoneCall, VoiceSession, VoiceWorker
from voice.transports.livekit import LiveKitLine, LiveKitTransport

CONFIG = {"system_prompt": "Be kind.", "connectors": {"llm": {"primary": "rehearsal"}}}


class NoCallsHere:
    """`voice.runtime` in a process that takes no calls."""

    @staticmethod
    def current() -> None:
        return None


@dataclass
class Client:
    """A client of the API, on the event loop that takes the calls."""

    secret: str

    async def post(self, path: str, body: Any) -> Any:
        return await AsyncClient(raise_request_exception=False).post(
            path, body, content_type="application/json", headers={"Authorization": f"Bearer {self.secret}"}
        )

    async def session(self, provider: str) -> dict[str, Any]:
        answer = await self.post("/api/voice/sessions/with-config", CONFIG | {"provider": provider})
        assert answer.status_code == 201, answer.content
        created: dict[str, Any] = answer.json()
        return created


@pytest.fixture
def client(transactional_db: None) -> Client:
    project = create_project(name="Acme")
    _, secret = create_api_key(project=project, name="voice", scopes=[Scope.READ, Scope.WRITE, Scope.VOICE])
    return Client(secret)


@pytest.fixture
async def exchange(client: Client) -> AsyncIterator[Exchange]:
    async with Exchange(capacity=1).serving() as serving:
        address = f"ws://127.0.0.1:{serving.port}"
        await in_thread(VoiceWorker.objects.update, address=address)
        yield serving
    await sync_to_async(connections.close_all)()  # in the thread where the test client's views ran


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


# --- rooms -------------------------------------------------------------------------------------------


async def test_a_livekit_session_has_a_room_and_a_token_for_its_caller(
    client: Client, exchange: Exchange, settings: Any
) -> None:
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        created = await client.session("livekit")
        entrance = created["transport"]
        assert list(livekit.rooms) == [entrance["room"]]
        assert entrance["room_url"] == livekit.url
        assert livekit.claims(entrance["token"])["video"]["room"] == entrance["room"]
        await in_thread(_end, client, created["session_id"])
        assert livekit.rooms == {}


async def test_a_daily_session_has_a_room_and_a_token_for_its_caller(
    client: Client, exchange: Exchange, settings: Any
) -> None:
    async with DailyServer() as daily:
        settings.DAILY = {"api_key": daily.api_key, "domain": "", "base_url": daily.url}
        created = await client.session("daily")
        entrance = created["transport"]
        assert daily.rooms[entrance["room"]]["privacy"] == "private"
        assert daily.tokens[entrance["token"]]["room_name"] == entrance["room"]
        daily.broken = "<html>"
        answer = await client.post("/api/voice/sessions/with-config", CONFIG | {"provider": "daily"})
        assert (answer.status_code, answer.json()["code"]) == (502, "vendor_failed")


async def test_the_agent_that_cannot_join_its_room_says_so(
    client: Client, exchange: Exchange, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        created = await client.session("livekit")
        # There is a server, but none that speaks WebRTC.
        answer = await client.post(f"/api/voice/sessions/{created['session_id']}/join", {})
        assert (answer.status_code, answer.json()["code"]) == (502, "vendor_failed")
        await until_true(lambda: not PhoneCall.objects.exclude(state=PhoneCall.State.ENDED).exists())


@pytest.fixture
def livekit_room(monkeypatch: pytest.MonkeyPatch) -> Rtc:
    """A room that our agent joins, acted out."""
    rtc = Rtc()
    monkeypatch.setattr(joining, "LiveKitTransport", lambda: LiveKitTransport(rtc))  # type: ignore[arg-type]
    return rtc


def use(settings: Any, livekit: LiveKitServer) -> None:
    settings.LIVEKIT = {
        "url": livekit.url,
        "api_key": livekit.api_key,
        "api_secret": livekit.api_secret,
        "sip_uri": "",
    }


async def test_the_agent_joins_the_sessions_room_and_talks_with_its_caller(
    client: Client, exchange: Exchange, settings: Any, livekit_room: Rtc
) -> None:
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        created = await client.session("livekit")
        answer = await client.post(f"/api/voice/sessions/{created['session_id']}/join", {})
        assert answer.status_code == 200, answer.content
        assert answer.json()["room"] == created["transport"]["room"]
        assert livekit.claims(livekit_room.room.connected)["video"]["room"] == created["transport"]["room"]
        track = microphone()
        livekit_room.room.act("track_subscribed", track, None, participant())
        track.frames.put_nowait(b"ab" * 320)
        await eventually(lambda: exchange.calls and exchange.calls[0].heard)
        await eventually(lambda: b"ab" * 320 in livekit_room.source.frames)  # it repeats what it hears
        livekit_room.room.act("participant_disconnected", participant())
        await until_true(lambda: PhoneCall.objects.filter(end_reason="caller_hung_up").exists())
        assert livekit_room.room.left


def ringing(livekit: LiveKitServer, number: str, room: str = "phone-_+15005550001_x1") -> tuple[str, str]:
    """A telephone caller has come into a room of his own."""
    attributes = {"sip.trunkPhoneNumber": number, "sip.phoneNumber": "+15005550001"}
    livekit.rooms[room] = Room(name=room)
    return livekit.webhook(
        {
            "event": "participant_joined",
            "room": {"name": room},
            "participant": {"identity": "sip_1", "kind": "SIP", "attributes": attributes},
        }
    )


async def test_livekits_telephone_callers_reach_the_number_they_dialled(
    client: Client, exchange: Exchange, settings: Any, livekit_room: Rtc
) -> None:
    number = await in_thread(make_number)
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        body, signature = ringing(livekit, number.number)
        for _ in range(2):  # it is told twice
            answer = await told(body, signature)
            assert answer.status_code == 204
        await eventually(lambda: livekit_room.room.connected)  # told is not joined
        livekit_room.room.act("track_subscribed", microphone(), None, participant("sip_1", telephone=True))
        await eventually(lambda: exchange.calls)
        row = await in_thread(PhoneCall.objects.get)
        assert (row.transport, row.network_id, row.from_number) == (
            "livekit",
            number.network_id,
            "+15005550001",
        )
        assert isinstance(exchange.calls[0].line, LiveKitLine)
        livekit_room.room.act("participant_disconnected", participant("sip_1"))
        await until_true(lambda: PhoneCall.objects.filter(end_reason="caller_hung_up").exists())


async def test_a_telephone_caller_nobody_answers_is_hung_up_on(
    client: Client, exchange: Exchange, settings: Any
) -> None:
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        assert (await told(*ringing(livekit, "+15005559999"))).status_code == 204
        assert livekit.rooms == {}


async def test_a_forged_webhook_of_livekits_is_refused(
    client: Client, exchange: Exchange, settings: Any
) -> None:
    number = await in_thread(make_number)
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        body, signature = ringing(livekit, number.number)
        for forged in ((body.replace("phone-", "phone-x"), signature), (body, ""), (body, signature[:-2])):
            assert (await told(*forged)).status_code == 403
        settings.LIVEKIT = {**settings.LIVEKIT, "api_secret": ""}
        assert (await told(body, signature)).status_code == 404
        assert await in_thread(PhoneCall.objects.count) == 0


async def test_the_command_makes_trunk_and_rule_for_our_numbers_once(
    client: Client, exchange: Exchange, settings: Any
) -> None:
    number = await in_thread(make_number)
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        for _ in range(2):
            out = StringIO()
            await in_thread(call_command, "livekit_numbers", stdout=out)
            assert number.number in out.getvalue()
        assert [list(trunk.numbers) for trunk in livekit.trunks] == [[number.number]]
        assert len(livekit.rules) == 1
        livekit.fail_with = (503, "unavailable", "no nodes")
        with pytest.raises(CommandError, match="no nodes"):
            await in_thread(call_command, "livekit_numbers")


async def told(body: str, signature: str) -> Any:
    return await AsyncClient().post(
        "/livekit/webhook",
        body,
        content_type="application/webhook+json",
        headers={"Authorization": signature},
    )


def _end(client: Client, session_id: str) -> None:
    from django.test import Client as Http

    answer = Http().delete(
        f"/api/voice/sessions/{session_id}", headers={"Authorization": f"Bearer {client.secret}"}
    )
    assert answer.status_code == 204
