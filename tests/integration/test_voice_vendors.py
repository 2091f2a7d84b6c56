"""LiveKit's and Daily's own APIs, spoken to local servers that speak their wire formats."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.fakes.daily import DailyServer
from tests.fakes.daily_sdk import DailySdk
from tests.fakes.livekit import LiveKitServer
from voice.transports.daily import DailyLine, DailyTransport
from voice.transports.daily_rooms import DailyKeys, DailyRooms
from voice.transports.livekit_rooms import AGENT, LiveKitKeys, LiveKitRooms, read_webhook, token
from voice.transports.vendor import VendorFailed


@pytest.fixture
async def livekit() -> AsyncIterator[LiveKitServer]:
    async with LiveKitServer() as server:
        yield server


@pytest.fixture
async def daily() -> AsyncIterator[DailyServer]:
    async with DailyServer() as server:
        yield server


def keys_of(server: LiveKitServer) -> LiveKitKeys:
    return LiveKitKeys(server.url, server.api_key, server.api_secret)


async def test_livekit_makes_a_room_once_and_takes_it_away(livekit: LiveKitServer) -> None:
    async with LiveKitRooms(keys_of(livekit)) as rooms:
        sid = await rooms.create("s1", empty_seconds=60, metadata="x")
        assert await rooms.create("s1", empty_seconds=60) == sid
        assert livekit.rooms["s1"].empty_timeout == 60
        assert livekit.rooms["s1"].max_participants == 4
        await rooms.delete("s1")
        await rooms.delete("s1")  # gone already
        assert livekit.rooms == {}


async def test_livekit_tokens_open_one_room_for_so_long(livekit: LiveKitServer) -> None:
    claims = livekit.claims(token(keys_of(livekit), room="s1", identity="caller", seconds=300))
    assert claims["sub"] == "caller"
    assert claims["exp"] - claims["nbf"] == pytest.approx(300, abs=2)
    assert claims["video"] == {
        "roomJoin": True,
        "room": "s1",
        "canPublish": True,
        "canSubscribe": True,
        "canPublishData": True,
        "canPublishSources": ["microphone"],
    }
    ours = livekit.claims(token(keys_of(livekit), room="s1", identity=AGENT, seconds=300, agent=True))
    assert ours["video"]["agent"] is True
    assert "roomCreate" not in ours["video"]


async def test_livekit_gives_telephone_callers_rooms_by_a_rule_that_is_made_once(
    livekit: LiveKitServer,
) -> None:
    async with LiveKitRooms(keys_of(livekit)) as rooms:
        trunk = await rooms.ensure_inbound("mesh", ["+15005550006"])
        assert await rooms.ensure_inbound("mesh", ["+15005550006"]) == trunk
        rule = await rooms.ensure_dispatch("mesh", [trunk])
        assert await rooms.ensure_dispatch("mesh", [trunk]) == rule
        assert await rooms.ensure_inbound("mesh", ["+15005550007"]) != trunk
    assert len(livekit.rules) == 1
    assert livekit.rules[0].rule.dispatch_rule_individual.room_prefix == "phone-"
    assert list(livekit.rules[0].trunk_ids) == [trunk]


async def test_livekit_calls_somebody_hands_over_and_hangs_up(livekit: LiveKitServer) -> None:
    async with LiveKitRooms(keys_of(livekit)) as rooms:
        await rooms.dial("s1", "+15005550001", trunk_id="ST_1")
        await rooms.transfer("s1", "caller", "tel:+15005550002")
        await rooms.remove("s1", "caller")
    (_, dialled), (_, moved), (_, removed) = livekit.asked
    assert (dialled.sip_call_to, dialled.sip_trunk_id, dialled.room_name) == ("+15005550001", "ST_1", "s1")
    assert (moved.transfer_to, moved.participant_identity) == ("tel:+15005550002", "caller")
    assert (removed.room, removed.identity) == ("s1", "caller")


async def test_livekit_says_why_it_refuses(livekit: LiveKitServer) -> None:
    wrong = replace(keys_of(livekit), api_secret="x" * 32)
    async with LiveKitRooms(wrong) as rooms:
        with pytest.raises(VendorFailed, match="invalid token") as caught:
            await rooms.create("s1", empty_seconds=60)
    assert caught.value.status == 401
    livekit.fail_with = (503, "unavailable", "no nodes")
    async with LiveKitRooms(keys_of(livekit)) as rooms:
        with pytest.raises(VendorFailed, match="no nodes"):
            await rooms.create("s1", empty_seconds=60)
    assert len(livekit.asked) == 1  # asked once: a caller waits


async def test_livekit_that_is_away_is_a_failure_too() -> None:
    async with LiveKitRooms(LiveKitKeys("ws://127.0.0.1:9", "k", "s" * 32)) as rooms:
        with pytest.raises(VendorFailed) as caught:
            await rooms.create("s1", empty_seconds=60)
    assert caught.value.status == 0


async def test_livekit_webhooks_are_believed_only_with_its_signature(livekit: LiveKitServer) -> None:
    body, signature = livekit.webhook({"event": "participant_joined", "room": {"name": "phone-1"}})
    event = read_webhook(keys_of(livekit), body, signature)
    assert (event.event, event.room.name) == ("participant_joined", "phone-1")
    changed = json.dumps({"event": "participant_joined", "room": {"name": "phone-2"}})
    for forged in ((changed, signature), (body, "nonsense"), (body, "")):
        with pytest.raises(VendorFailed):
            read_webhook(keys_of(livekit), *forged)


async def test_daily_makes_a_private_room_that_is_entered_while_the_session_lives(daily: DailyServer) -> None:
    async with DailyRooms(DailyKeys(daily.api_key, daily.url), clock=lambda: 4e9) as rooms:
        room = await rooms.create("s1", seconds=600)
        assert room.url == "https://mesh.daily.co/s1"
        made = daily.rooms["s1"]
        assert made["privacy"] == "private"
        assert made["properties"]["exp"] == 4_000_000_600
        assert made["properties"]["eject_at_room_exp"] is False  # a call goes on when its session is over
        await rooms.keep("s1", seconds=900)
        assert made["properties"]["exp"] == 4_000_000_900
        await rooms.delete("s1")
        await rooms.delete("s1")
        assert daily.rooms == {}


async def test_hanging_up_at_daily_sends_the_caller_out_and_leaves_the_room(daily: DailyServer) -> None:
    keys = DailyKeys(daily.api_key, daily.url)
    async with DailyRooms(keys) as rooms:
        await rooms.create("s1", seconds=600)
    transport = DailyTransport(DailySdk())  # type: ignore[arg-type]
    line = DailyLine(keys, "s1", transport)
    await line.hang_up()  # nobody came
    assert daily.ejected == []
    transport.caller = "p-1"
    await line.hang_up()
    assert (daily.ejected, list(daily.rooms)) == (["p-1"], ["s1"])


async def test_daily_tokens_open_one_room_for_so_long(daily: DailyServer) -> None:
    async with DailyRooms(DailyKeys(daily.api_key, daily.url), clock=lambda: 4e9) as rooms:
        made = await rooms.token("s1", seconds=600, name="Caller")
        ours = await rooms.token("s1", seconds=600, name="Agent", owner=True)
    assert daily.tokens[made] == {
        "room_name": "s1",
        "exp": 4_000_000_600,
        "user_name": "Caller",
        "is_owner": False,
    }
    assert daily.tokens[ours]["is_owner"] is True


async def test_daily_says_why_it_refuses(daily: DailyServer) -> None:
    async with DailyRooms(DailyKeys("wrong", daily.url)) as rooms:
        with pytest.raises(VendorFailed, match="authentication-error") as caught:
            await rooms.create("s1", seconds=600)
    assert caught.value.status == 401
    async with DailyRooms(DailyKeys(daily.api_key, daily.url)) as rooms:
        await rooms.create("s1", seconds=600)
        with pytest.raises(VendorFailed, match="already exists"):
            await rooms.create("s1", seconds=600)
        daily.broken = "<html>bad gateway"
        with pytest.raises(VendorFailed, match="not JSON"):
            await rooms.token("s1", seconds=600, name="Caller")


async def test_daily_that_is_away_is_a_failure_too() -> None:
    async with DailyRooms(DailyKeys("k", "http://127.0.0.1:9/v1")) as rooms:
        with pytest.raises(VendorFailed) as caught:
            await rooms.create("s1", seconds=600)
    assert caught.value.status == 0


def test_keys_are_not_shown() -> None:
    assert "secret-1" not in repr(LiveKitKeys("wss://x", "k", "secret-1")) + repr(DailyKeys("secret-1"))
