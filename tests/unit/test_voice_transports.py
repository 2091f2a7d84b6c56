"""What transports make of messages, and of calls' orders."""

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice.audio import STUDIO, WIDE_BAND
from voice.pipeline.ports import TransportClosed
from voice.transports import base, twilio, web
from voice.transports.registry import TRANSPORTS


class Caller:
    """The other side of a socket, and the call on this one."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.told: list[tuple[Any, ...]] = []
        self.closed = 0
        self.error: BaseException | None = None
        self.hangs = False

    async def send(self, message: Any) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        self.sent.append(message)

    async def close(self) -> None:
        self.closed += 1

    def audio(self, payload: bytes, timestamp_ms: float | None) -> None:
        self.told.append(("audio", payload, timestamp_ms))

    def mark(self, name: str) -> None:
        self.told.append(("mark", name))

    def digit(self, d: str) -> None:
        self.told.append(("digit", d))

    def end(self, reason: str) -> None:
        self.told.append(("end", reason))


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def line(caller: Caller) -> twilio.TwilioTransport:
    return twilio.TwilioTransport("MZ1", caller.send, caller.close)


@pytest.fixture
def page(caller: Caller) -> web.WebTransport:
    return web.WebTransport(WIDE_BAND, caller.send, caller.send, caller.close)


START = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"a": "b"},
    },
    "streamSid": "MZ1",
}


# --- Twilio ------------------------------------------------------------------------------------------


def test_it_reads_how_a_stream_starts() -> None:
    assert twilio.read_start('{"event":"connected","protocol":"Call","version":"1.0.0"}') is None
    assert twilio.read_start(json.dumps(START)) == twilio.Start("CA1", "MZ1", {"a": "b"})


@pytest.mark.parametrize(
    "change",
    [
        {"event": "media"},
        {"start": None},
        {"start": {}},
        {"start": {**START["start"], "callSid": 1}},  # type: ignore[dict-item]
        {"start": {**START["start"], "streamSid": ""}},  # type: ignore[dict-item]
        {"start": {**START["start"], "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 16000}}},  # type: ignore[dict-item]
    ],
)
def test_it_begins_no_call_of_a_strange_start(change: dict[str, Any]) -> None:
    with pytest.raises(twilio.BadStart):
        twilio.read_start(json.dumps(START | change))


def test_it_tells_the_call_what_twilio_says(line: twilio.TwilioTransport, caller: Caller) -> None:
    payload = base64.b64encode(b"\x01\x02").decode()
    media = {"track": "inbound", "chunk": "1", "timestamp": "40", "payload": payload}
    for message in (
        {"event": "media", "sequenceNumber": "3", "media": media, "streamSid": "MZ1"},
        {"event": "media", "media": {**media, "track": "outbound"}},
        {"event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": {"name": "1:2"}},
        {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "#"}},
        {"event": "stop", "sequenceNumber": "5", "stop": {"accountSid": "AC1", "callSid": "CA1"}},
    ):
        line.receive(json.dumps(message), caller)
    assert caller.told == [
        ("audio", b"\x01\x02", 40.0),
        ("mark", "1:2"),
        ("digit", "#"),
        ("end", "caller_hung_up"),
    ]


def test_it_counts_what_it_does_not_understand(line: twilio.TwilioTransport, caller: Caller) -> None:
    for text in (
        '{"event":"news"}',
        '{"event":"news"}',
        "{",
        "[]",
        "null",
        '{"event":"media"}',
        '{"event":[]}',
    ):
        line.receive(text, caller)
    line.receive('{"event":"media","media":{"payload":"A","timestamp":"1"}}', caller)
    line.receive_binary()
    assert caller.told == []
    assert line.ignored["news"] == 2
    assert line.ignored["binary"] == 1


@given(st.text())
def test_it_survives_whatever_is_sent(text: str) -> None:
    caller = Caller()
    twilio.TwilioTransport("MZ1", caller.send, caller.close).receive(text, caller)
    assert caller.told == []


async def test_it_says_to_twilio_what_a_call_wants(line: twilio.TwilioTransport, caller: Caller) -> None:
    await line.send_audio(b"\xff\x00\x7f")
    await line.send_mark('a "b"')
    await line.clear()
    assert [json.loads(text) for text in caller.sent] == [
        {
            "event": "media",
            "streamSid": "MZ1",
            "media": {"payload": base64.b64encode(b"\xff\x00\x7f").decode()},
        },
        {"event": "mark", "streamSid": "MZ1", "mark": {"name": 'a "b"'}},
        {"event": "clear", "streamSid": "MZ1"},
    ]


async def test_it_closes_once_and_sends_nothing_more(line: twilio.TwilioTransport, caller: Caller) -> None:
    await line.aclose()
    await line.aclose()
    assert caller.closed == 1
    for send in (line.send_audio(b"\xff"), line.send_mark("x"), line.clear()):
        with pytest.raises(TransportClosed):
            await send
    assert caller.sent == []


@pytest.mark.parametrize("error", [OSError("reset"), ConnectionResetError(), RuntimeError("after close")])
async def test_it_tells_of_a_socket_that_is_gone(
    line: twilio.TwilioTransport, caller: Caller, error: Exception
) -> None:
    caller.error = error
    with pytest.raises(TransportClosed):
        await line.send_audio(b"\xff")


async def test_it_waits_for_nobody_who_reads_nothing(
    line: twilio.TwilioTransport, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SEND_SECONDS", 0.01)
    caller.hangs = True
    with pytest.raises(TransportClosed, match="does not take"):
        await line.send_audio(b"\xff")


# --- browsers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('{"event":"start","sample_rate":16000}', WIDE_BAND),
        ('{"event":"start","sample_rate":24000}', STUDIO),
        ('{"event":"start"}', WIDE_BAND),
    ],
)
def test_it_reads_a_pages_format(text: str, format: Any) -> None:
    assert web.read_start(text) == format


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        '{"event":"mark"}',
        '{"event":"start","sample_rate":8000}',
        '{"event":"start","sample_rate":[]}',
    ],
)
def test_it_begins_no_call_with_a_strange_page(text: str | None) -> None:
    with pytest.raises(web.BadStart):
        web.read_start(text)


async def test_it_gives_the_call_whole_samples(page: web.WebTransport, caller: Caller) -> None:
    for piece in (b"\x01\x02\x03", b"\x04", b"", b"\x05"):
        page.receive_binary(piece, caller)
    assert caller.told == [("audio", b"\x01\x02", None), ("audio", b"\x03\x04", None)]


async def test_it_hears_no_page_that_speaks_faster_than_time_passes(caller: Caller) -> None:
    now = 100.0
    page = web.WebTransport(WIDE_BAND, caller.send, caller.send, caller.close, lambda: now)
    second = b"\0\1" * 16_000
    for _ in range(60):
        page.receive_binary(second, caller)
    assert sum(len(audio) for _, audio, _ in caller.told) == 5 * len(second)
    assert page.ignored == {"too fast": 55}
    for _ in range(1500):
        now += 0.017
        page.receive_binary(second[:640], caller)
    assert page.ignored == {"too fast": 55}
    now += 3600
    for _ in range(60):
        page.receive_binary(second, caller)
    assert page.ignored == {"too fast": 110}


async def test_it_tells_the_call_what_a_page_says(page: web.WebTransport, caller: Caller) -> None:
    for text in (
        '{"event":"mark","name":"m"}',
        '{"event":"dtmf","digit":"12"}',
        '{"event":"stop"}',
        "x",
        "{}",
    ):
        page.receive(text, caller)
    assert caller.told == [("mark", "m"), ("digit", "1"), ("end", "caller_hung_up")]
    assert page.ignored["unreadable"] == 2


async def test_it_tells_the_page_what_happens_and_says_the_last_when_the_audio_is_closed(
    page: web.WebTransport, caller: Caller
) -> None:
    telling = asyncio.create_task(page.tell_news())
    page.show("state", state="listening")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await page.send_audio(b"\x01\x02")
    await page.clear()
    telling.cancel()
    await page.aclose()
    page.show("end", reason="agent_hung_up")
    await page.tell_rest()
    assert caller.sent[1] == b"\x01\x02"
    events = [json.loads(message)["event"] for message in caller.sent if isinstance(message, str)]
    assert events == ["state", "clear", "end"]
    assert caller.closed == 1


async def test_it_keeps_only_so_much_news_for_a_page_that_reads_nothing(
    page: web.WebTransport, caller: Caller
) -> None:
    for number in range(1000):
        page.show("state", number=number)
    await page.tell_rest()
    assert [json.loads(message)["number"] for message in caller.sent] == list(range(800, 1000))


def test_it_names_the_transports_there_are() -> None:
    assert set(TRANSPORTS) == {"twilio", "web", "webrtc", "livekit", "daily"}
