"""Our participant in vendors' rooms, against scripted SDKs: what it says, hears, and is told."""

import asyncio
import json
from typing import Any

import pytest

from tests.fakes.daily_sdk import DailySdk
from tests.fakes.livekit_rtc import Rtc, microphone, packet, participant
from voice.audio import WIDE_BAND
from voice.pipeline.ports import NotPossible, TransportClosed
from voice.transports import daily, livekit
from voice.transports.daily import DailyTransport
from voice.transports.extras import MissingPackage, load
from voice.transports.livekit import LiveKitLine, LiveKitTransport
from voice.transports.livekit_rooms import LiveKitKeys
from voice.transports.paced import Outbox
from voice.transports.vendor import VendorFailed

KEYS = LiveKitKeys("wss://mesh.livekit.example", "key", "s" * 32)
LOUD = b"\x01\x02"
SECOND = LOUD * 16_000


class Listener:
    def __init__(self) -> None:
        self.heard = b""
        self.told: list[tuple[str, Any]] = []

    def audio(self, payload: bytes, timestamp_ms: float | None) -> None:
        self.heard += payload

    def mark(self, name: str) -> None:
        self.told.append(("mark", name))

    def digit(self, d: str) -> None:
        self.told.append(("digit", d))

    def end(self, reason: str) -> None:
        self.told.append(("end", reason))

    def network(self, *, loss: float, round_trip_ms: float) -> None:
        self.told.append(("network", (loss, round_trip_ms)))


async def soon(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (a condition is no event)
            await asyncio.sleep(0.005)


# --- what all share ----------------------------------------------------------------------------------


def test_an_outbox_gives_frames_and_the_marks_they_complete() -> None:
    outbox = Outbox(WIDE_BAND)
    outbox.put(b"a" * 700)
    outbox.mark("one")
    outbox.put(b"b" * 600)
    outbox.mark("two")
    assert outbox.frame() == (b"a" * 640, [])
    assert outbox.frame() == (b"a" * 60 + b"b" * 580, ["one"])
    assert outbox.frame() == (b"b" * 20 + b"\0" * 620, ["two"])
    assert outbox.frame() == (b"\0" * 640, [])


def test_an_outbox_that_is_cleared_returns_its_marks() -> None:
    outbox = Outbox(WIDE_BAND)
    outbox.put(SECOND)
    outbox.mark("one")
    outbox.put(SECOND)
    outbox.mark("two")
    assert outbox.clear() == ["one", "two"]
    assert outbox.waiting == 0
    assert outbox.frame() == (b"\0" * 640, [])


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(MissingPackage, match=r"requirements-extras\.txt"):
        load("no.such.module", package="livekit", transport="livekit")


# --- LiveKit -----------------------------------------------------------------------------------------


async def in_livekit(*, telephone: bool = False) -> tuple[Rtc, LiveKitTransport, Listener, Any]:
    rtc, call = Rtc(), Listener()
    transport = LiveKitTransport(rtc)  # type: ignore[arg-type]
    await transport.join(KEYS, "room-1")
    transport.attach(call, on_network=call.network)
    track = microphone()
    rtc.room.act("track_subscribed", track, None, participant(telephone=telephone))
    assert await transport.connected(1)
    return rtc, transport, call, track


async def test_livekit_speaks_and_says_when_it_was_heard() -> None:
    rtc, transport, call, _ = await in_livekit()
    await transport.send_audio(LOUD * 16 * 60)
    await transport.send_mark("all")
    await soon(lambda: call.told == [("mark", "all")])
    assert b"".join(rtc.source.frames).count(LOUD * 16 * 60) == 1
    await transport.aclose()
    assert rtc.room.left
    with pytest.raises(TransportClosed):
        await transport.send_audio(LOUD)


async def test_livekit_is_silent_when_cleared() -> None:
    rtc, transport, call, _ = await in_livekit()
    await transport.send_audio(SECOND)
    await transport.send_mark("never heard")
    await soon(lambda: any(any(frame) for frame in rtc.source.frames))
    await transport.clear()
    spoken = len(rtc.source.frames)
    await soon(lambda: len(rtc.source.frames) > spoken + 3)
    assert not any(any(frame) for frame in rtc.source.frames[spoken:])
    assert rtc.source.cleared == 1
    await soon(lambda: call.told == [("mark", "never heard")])
    await transport.aclose()


async def test_livekit_hears_its_caller_and_nobody_else() -> None:
    rtc, transport, call, track = await in_livekit()
    other = microphone()
    rtc.room.act("track_subscribed", other, None, participant("another"))
    other.frames.put_nowait(b"xx" * 320)
    track.frames.put_nowait(LOUD * 320)
    await soon(lambda: call.heard)
    assert call.heard == LOUD * 320
    rtc.room.act("participant_disconnected", participant("another"))
    rtc.room.act("data_received", packet('{"event":"stop"}', participant("another")))
    assert call.told == []
    rtc.room.act("participant_disconnected", participant("caller"))
    assert call.told == [("end", "caller_hung_up")]
    await transport.aclose()


async def test_livekit_takes_keys_from_pages_and_telephones() -> None:
    rtc, transport, call, _ = await in_livekit()
    caller = participant("caller")
    rtc.room.act("data_received", packet('{"event":"dtmf","digit":"7"}', caller))
    rtc.room.act("data_received", packet('{"event":"dtmf","digit":"8"}', caller, topic="chat"))
    rtc.room.act("sip_dtmf_received", type("Digit", (), {"digit": "9"}))
    assert call.told == [("digit", "7"), ("digit", "9")]
    transport.show("transcript", text="hello")
    await soon(lambda: rtc.room.said)
    topic, text = rtc.room.said[0]
    assert (topic, json.loads(text)) == ("mesh", {"event": "transcript", "text": "hello"})
    await transport.aclose()


async def test_livekit_reports_the_line_and_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livekit, "_REPORT_SECONDS", 0.01)
    rtc, transport, call, _ = await in_livekit()
    await soon(lambda: call.told)
    assert call.told[0] == ("network", (0.25, 80.0))
    rtc.room.act("disconnected", "SIGNAL_CLOSE")
    assert ("end", "transport_lost") in call.told
    await transport.aclose()


async def test_livekit_that_cannot_be_joined_is_a_failure() -> None:
    rtc = Rtc()
    rtc.room.refuse = "engine: signal failure"
    transport = LiveKitTransport(rtc)  # type: ignore[arg-type]
    with pytest.raises(VendorFailed, match="signal failure"):
        await transport.join(KEYS, "room-1")
    assert transport.closed


async def test_livekit_waits_for_a_caller_no_longer_than_told() -> None:
    rtc = Rtc()
    transport = LiveKitTransport(rtc)  # type: ignore[arg-type]
    await transport.join(KEYS, "room-1")
    assert not await transport.connected(0.01)
    await transport.aclose()


async def test_livekit_transfers_telephones_only_and_without_an_announcement() -> None:
    _, transport, _, _ = await in_livekit()
    with pytest.raises(NotPossible, match="a page"):
        await LiveKitLine(KEYS, "room-1", transport).transfer("+15005550001", mode="cold", summary="")
    await transport.aclose()
    _, transport, _, _ = await in_livekit(telephone=True)
    with pytest.raises(NotPossible, match="mode cold"):
        await LiveKitLine(KEYS, "room-1", transport).transfer("+15005550001", mode="warm", summary="x")
    await transport.aclose()


# --- Daily -------------------------------------------------------------------------------------------

CALLER = {"id": "p1", "info": {"isLocal": False}}


async def in_daily(*, already: bool = True) -> tuple[DailySdk, DailyTransport, Listener]:
    sdk, call = DailySdk(), Listener()
    if already:
        sdk.present = {"p1": CALLER}
    transport = DailyTransport(sdk)  # type: ignore[arg-type]
    await transport.join("https://mesh.daily.co/s1", "token")
    transport.attach(call, on_network=call.network)
    return sdk, transport, call


async def test_daily_speaks_hears_and_leaves() -> None:
    sdk, transport, call = await in_daily()
    assert await transport.connected(1)
    assert sdk.client
    assert sdk.microphone
    assert sdk.client.joined == ("https://mesh.daily.co/s1", "token")
    assert sdk.client.device == sdk.microphone.name
    await transport.send_audio(LOUD * 16 * 60)
    await transport.send_mark("all")
    sdk.client.speak(LOUD * 320)
    await soon(lambda: call.heard == LOUD * 320)
    await soon(lambda: call.told == [("mark", "all")])
    assert b"".join(sdk.microphone.frames).count(LOUD * 16 * 60) == 1
    await transport.aclose()
    assert sdk.client.left
    assert sdk.client.released


async def test_daily_waits_for_its_caller_and_ends_with_him() -> None:
    sdk, transport, call = await in_daily(already=False)
    assert sdk.client
    assert not await transport.connected(0.01)
    sdk.client.act("participant_joined", CALLER)
    assert await transport.connected(1)
    sdk.client.act("participant_left", {"id": "p2"}, "leftCall")
    sdk.client.act("app_message", {"event": "dtmf", "digit": "5"}, "p1")
    sdk.client.act("app_message", {"event": "stop"}, "p2")
    sdk.client.act("dtmf_event", {"tone": "6"})
    transport.show("transcript", text="hello")
    await soon(lambda: sdk.client and sdk.client.said == [({"event": "transcript", "text": "hello"}, "p1")])
    await soon(lambda: call.told == [("digit", "5"), ("digit", "6")])
    sdk.client.act("participant_left", CALLER, "leftCall")
    await soon(lambda: call.told[-1] == ("end", "caller_hung_up"))
    await transport.aclose()


async def test_daily_reports_the_line_and_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "_REPORT_SECONDS", 0.01)
    sdk, transport, call = await in_daily()
    assert sdk.client
    await soon(lambda: call.told)
    assert call.told[0] == ("network", (0.1, 50.0))
    sdk.client.act("error", "network gone")
    await soon(lambda: ("end", "transport_lost") in call.told)
    await transport.aclose()


async def test_daily_that_cannot_be_joined_is_a_failure() -> None:
    sdk = DailySdk()
    sdk.refuse = "room not found"
    transport = DailyTransport(sdk)  # type: ignore[arg-type]
    with pytest.raises(VendorFailed, match="room not found"):
        await transport.join("https://mesh.daily.co/s1", "token")
    assert transport.closed
