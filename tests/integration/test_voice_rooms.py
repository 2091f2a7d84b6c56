"""Callers who come into a vendor's room: LiveKit's and Daily's, from the API to the end of the call."""

import time
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import AsyncClient
from livekit.protocol.models import Room

from tests.fakes.daily import DailyServer
from tests.fakes.livekit import LiveKitServer
from tests.fakes.livekit_rtc import Rtc, microphone, participant
from tests.integration.doors_world import CONFIG, Client, client, exchange
from tests.integration.lines_world import Exchange, eventually, in_thread, make_number, until_true
from voice import joining
from voice.api import livekit as webhook
from voice.models import PhoneCall, VoiceSession
from voice.sessions import remaining_seconds
from voice.transports.livekit import LiveKitLine, LiveKitTransport
from voice.transports.livekit_rooms import CALLER

__all__ = ["client", "exchange"]


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


async def test_more_life_for_a_session_is_more_life_for_its_room_and_a_new_token(
    client: Client, exchange: Exchange, settings: Any
) -> None:
    async with DailyServer() as daily:
        use_daily(settings, daily)
        created = await client.session("daily")
        path = f"/api/voice/sessions/{created['session_id']}/ttl"
        entrance = (await client.post(path, {"ttl_seconds": 7200})).json()["transport"]
        assert entrance["room"] == created["transport"]["room"]
        lives = daily.rooms[entrance["room"]]["properties"]["exp"] - time.time()
        assert 7190 < lives <= 7200
        assert (
            daily.tokens[entrance["token"]]["exp"] >= daily.rooms[entrance["room"]]["properties"]["exp"] - 1
        )
        daily.broken = "<html>"
        assert (await client.post(path, {"ttl_seconds": 9000})).status_code == 502
        session = await in_thread(VoiceSession.objects.get)
        assert remaining_seconds(session) <= 7200  # nothing was promised that the room does not keep


async def test_a_session_that_ends_leaves_the_call_that_is_in_its_room(
    client: Client, exchange: Exchange, settings: Any, livekit_room: Rtc
) -> None:
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        created = await client.session("livekit")
        room = created["transport"]["room"]
        await client.post(f"/api/voice/sessions/{created['session_id']}/join", {})
        livekit_room.room.act("track_subscribed", microphone(), None, participant())
        await eventually(lambda: exchange.calls)
        await in_thread(_end, client, created["session_id"])
        assert list(livekit.rooms) == [room]
        assert not livekit_room.room.left
        answer = await client.post(f"/api/voice/sessions/{created['session_id']}/join", {})
        assert answer.status_code == 410
        livekit_room.room.act("participant_disconnected", participant())
        await until_true(lambda: PhoneCall.objects.filter(end_reason="caller_hung_up").exists())
        await eventually(lambda: livekit.rooms == {})


async def test_a_daily_session_has_a_room_and_a_token_for_its_caller(
    client: Client, exchange: Exchange, settings: Any
) -> None:
    async with DailyServer() as daily:
        use_daily(settings, daily)
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


def use_daily(settings: Any, daily: DailyServer) -> None:
    settings.DAILY = {"api_key": daily.api_key, "domain": "", "base_url": daily.url}


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


async def test_the_agent_comes_by_itself_when_livekit_says_that_a_sessions_caller_is_there(
    client: Client, exchange: Exchange, settings: Any, livekit_room: Rtc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_ENDING_SECONDS", 0.1)
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        created = await client.session("livekit")
        room = created["transport"]["room"]
        for identity in ("a-stranger", CALLER, CALLER):  # it is told twice
            assert (await told(*comes(livekit, room, identity))).status_code == 204
            assert await in_thread(PhoneCall.objects.count) == (identity == CALLER)
        livekit_room.room.act("track_subscribed", microphone(), None, participant())
        await eventually(lambda: exchange.calls)
        call = await in_thread(PhoneCall.objects.get)
        assert (call.transport, call.session_id) == ("livekit", created["session_id"])
        livekit_room.room.act("participant_disconnected", participant())
        await until_true(lambda: PhoneCall.objects.filter(end_reason="caller_hung_up").exists())


async def test_a_caller_who_comes_back_at_once_has_an_agent_again(
    client: Client, exchange: Exchange, settings: Any, livekit_room: Rtc
) -> None:
    async with LiveKitServer() as livekit:
        use(settings, livekit)
        room = (await client.session("livekit"))["transport"]["room"]
        await told(*comes(livekit, room))
        livekit_room.room.act("track_subscribed", microphone(), None, participant())
        await eventually(lambda: exchange.calls)
        livekit_room.room.act("participant_disconnected", participant())
        assert (await told(*comes(livekit, room))).status_code == 204  # the first call is about to end
        ended, begun = await in_thread(lambda: list(PhoneCall.objects.order_by("created_at")))
        assert (ended.end_reason, begun.state) == ("caller_hung_up", PhoneCall.State.ACTIVE)


def comes(livekit: LiveKitServer, room: str, identity: str = CALLER) -> tuple[str, str]:
    """Somebody has come into a session's room."""
    return livekit.webhook(
        {
            "event": "participant_joined",
            "room": {"name": room},
            "participant": {"identity": identity, "kind": "STANDARD"},
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
