"""Who is not let in: nothing is built for them, so no vendor's socket is opened."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from meshsite.logging import redact
from tests.integration import lines_world as lines
from tests.integration.lines_world import (
    AUTH_TOKEN,
    CONNECTED,
    Exchange,
    a_ring,
    ended,
    eventually,
    in_thread,
    media,
    ring,
    start,
    stream_url,
    webhook,
)
from voice import addresses, tokens, workers
from voice.config_parsing import parse
from voice.models import PhoneCall, PhoneNumber, VoiceSession
from voice.sessions import create_session, end_session

FORM = {"CallSid": "CA1", "To": lines.NUMBER, "From": "+15005550001"}
WEBHOOKS = [
    "/twilio",
    "/twilio/voice",
    "/twilio/voice/session_x",
    "/twilio/answered/call_x",
    "/twilio/status",
    "/twilio/status/call_x",
    "/twilio/stream-status",
    "/twilio/whisper/call_x",
]


@pytest.fixture
def public(settings: Any) -> None:
    settings.PUBLIC_BASE_URL = "https://mesh.example.com"
    settings.TWILIO = {**settings.TWILIO, "auth_token": AUTH_TOKEN}


@pytest.fixture
def number(transactional_db: None, public: None) -> PhoneNumber:
    return lines.make_number()


@pytest.fixture
async def exchange(number: PhoneNumber) -> AsyncIterator[Exchange]:
    async with Exchange().serving() as serving:
        yield serving
        assert serving.calls == [] or serving.calls[0].record.external_id == "CA1"


def signature(url: str, auth_token: str = AUTH_TOKEN, **form: str) -> str:
    return tokens.twilio_signature(auth_token, url, {name: [value] for name, value in form.items()})


# --- webhooks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WEBHOOKS)
@pytest.mark.parametrize("given", ["", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "é"])
def test_it_refuses_a_webhook_without_a_right_signature(number: PhoneNumber, path: str, given: str) -> None:
    workers.register("voice-t", address="wss://voice.example.com", slots=1)
    assert webhook(path, signature=given, **FORM).status_code == 403
    assert not PhoneCall.objects.exists()


def test_it_refuses_a_signature_by_another_token(number: PhoneNumber) -> None:
    forged = signature("https://mesh.example.com/twilio/voice", "f" * 32, **FORM)
    assert webhook("/twilio/voice", signature=forged, **FORM).status_code == 403


def test_it_refuses_a_form_that_was_changed(number: PhoneNumber) -> None:
    right = signature("https://mesh.example.com/twilio/voice", **FORM)
    assert webhook("/twilio/voice", signature=right, **{**FORM, "To": "+1900"}).status_code == 403
    assert webhook("/twilio/voice", signature=right, **FORM, Extra="1").status_code == 403
    assert webhook("/twilio/status", signature=right, **FORM).status_code == 403


def test_it_believes_no_header_about_its_own_address(number: PhoneNumber, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    forged = signature("https://evil.example.com/twilio/voice", **FORM)
    for headers in (
        {"Host": "evil.example.com"},
        {"X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=evil.example.com;proto=https"},
    ):
        assert webhook("/twilio/voice", signature=forged, headers=headers, **FORM).status_code == 403


def test_it_lets_nobody_in_without_an_auth_token(number: PhoneNumber, settings: Any) -> None:
    settings.TWILIO = {**settings.TWILIO, "auth_token": ""}
    forged = signature("https://mesh.example.com/twilio/voice", "", **FORM)
    assert webhook("/twilio/voice", signature=forged, **FORM).status_code == 403


def test_it_counts_every_value_of_a_repeated_field(number: PhoneNumber) -> None:
    """A second `To` would otherwise ride along unsigned."""
    right = signature("https://mesh.example.com/twilio/voice", **FORM)
    answer = Client().post(
        "/twilio/voice", {**FORM, "To": [lines.NUMBER, "+1900"]}, headers={"X-Twilio-Signature": right}
    )
    assert answer.status_code == 403


def test_it_takes_only_posts(number: PhoneNumber) -> None:
    assert Client().get("/twilio/voice").status_code == 405


# --- streams -----------------------------------------------------------------------------------------


async def refused(exchange: Exchange, url: str, **headers: str) -> None:
    with pytest.raises(InvalidStatus) as answer:
        await exchange.dial(url, **headers)
    assert answer.value.response.status_code == 403
    assert exchange.calls == []


async def test_it_refuses_a_stream_without_a_right_signature(exchange: Exchange) -> None:
    url = stream_url(await a_ring())
    other = url.rsplit("/", 1)[0] + "/other"
    for given in ("", "nonsense", signature(url, "f" * 32), signature(other), signature(exchange.here(url))):
        await refused(exchange, url, **{"X-Twilio-Signature": given})
    row = await in_thread(PhoneCall.objects.get)
    assert row.state == PhoneCall.State.RESERVED  # what was refused used nothing up
    async with await exchange.dial(url):
        pass


async def test_it_refuses_a_forged_token(exchange: Exchange) -> None:
    url = stream_url(await a_ring())
    head, token = url.rsplit("/", 1)
    body, mac = token.split(".")
    nonce = (await in_thread(PhoneCall.objects.get)).stream_nonce
    ticket = tokens.Ticket("CA1", "voice-t", nonce, int(time.time()) + 60)
    forged = [
        "x",
        f"{body}.{mac[:-1]}{'A' if mac[-1] != 'A' else 'B'}",
        f"{body}x.{mac}",
        f".{mac}",
        tokens.mint(b"another key", "call", ticket),
        tokens.mint(addresses.token_key(), "browser", ticket),  # right key, other purpose
        tokens.mint(
            addresses.token_key(), "call", tokens.Ticket("CA1", "voice-t", "guess", ticket.expires_at)
        ),
        tokens.mint(addresses.token_key(), "call", tokens.Ticket("CA2", "voice-t", nonce, ticket.expires_at)),
    ]
    for token in forged:
        await refused(exchange, f"{head}/{token}")


async def test_it_refuses_a_token_that_is_too_old(exchange: Exchange) -> None:
    await a_ring()
    nonce = (await in_thread(PhoneCall.objects.get)).stream_nonce
    old = tokens.Ticket("CA1", "voice-t", nonce, int(time.time()))
    url = addresses.stream_url(
        "wss://voice.example.com", "voice-t", tokens.mint(addresses.token_key(), "call", old)
    )
    await refused(exchange, url)


async def test_it_refuses_a_token_of_another_process(exchange: Exchange) -> None:
    url = stream_url(await a_ring())
    await refused(exchange, url.replace("/voice-t/", "/voice-u/"))


async def test_it_takes_a_token_once(exchange: Exchange) -> None:
    url = stream_url(await a_ring())
    async with await exchange.dial(url) as stream:
        await stream.send(start())
        await eventually(lambda: exchange.calls)
        for _ in range(2):
            with pytest.raises(InvalidStatus):
                await exchange.dial(url)
    await ended()
    with pytest.raises(InvalidStatus):
        await exchange.dial(url)
    assert len(exchange.calls) == 1


async def test_it_takes_one_of_two_streams_that_come_together(exchange: Exchange) -> None:
    url = stream_url(await a_ring())
    opened = await asyncio.gather(*(exchange.dial(url) for _ in range(8)), return_exceptions=True)
    got = [stream for stream in opened if not isinstance(stream, BaseException)]
    assert len(got) == 1
    await got[0].close()


async def test_it_refuses_a_stream_that_comes_too_late(exchange: Exchange) -> None:
    url = stream_url(await a_ring())
    row = await in_thread(PhoneCall.objects.get)
    await in_thread(PhoneCall.objects.update, reserved_until=row.created_at)
    await refused(exchange, url)


@pytest.mark.parametrize(
    "messages",
    [
        [start("CA2")],
        [CONNECTED, start("CA2")],
        [media(b"\xff" * 160)],
        ["{"],
        ["[]"],
        [b"\x00"],
        ['{"event":"start"}'],
        [start().replace("audio/x-mulaw", "audio/opus")],
    ],
)
async def test_it_builds_nothing_for_a_stream_that_starts_wrongly(
    exchange: Exchange, messages: list[str | bytes]
) -> None:
    async with await exchange.dial(stream_url(await a_ring())) as stream:
        for message in messages:
            await stream.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await stream.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    assert (await ended()).end_reason == "bad_start"
    assert exchange.calls == []


async def test_it_waits_only_so_long_for_the_start(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voice.consumers.START_SECONDS", 0.05)
    async with await exchange.dial(stream_url(await a_ring())) as stream:
        await stream.send(CONNECTED)
        with pytest.raises(ConnectionClosed):
            await stream.recv()
    assert (await ended()).end_reason == "bad_start"
    assert exchange.calls == []


async def test_it_refuses_a_frame_of_unreasonable_size(exchange: Exchange) -> None:
    async with await exchange.dial(stream_url(await a_ring())) as stream:
        await stream.send(start())
        await stream.send(media(b"\xff" * 80_000))
        with pytest.raises(ConnectionClosed) as closed:
            await stream.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    await ended()


async def test_it_answers_403_where_there_is_no_socket(exchange: Exchange) -> None:
    for path in ("/", "/ws/voice/twilio/voice-t", "/ws/voice/other/x", "/ws/voice/web/a/b"):
        with pytest.raises(InvalidStatus) as answer:
            await connect(f"ws://127.0.0.1:{exchange.port}{path}")
        assert answer.value.response.status_code == 403


async def test_it_keeps_tokens_out_of_the_log(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    url = stream_url(await a_ring())
    with caplog.at_level(logging.DEBUG):
        async with await exchange.dial(url):
            pass
    token = url.rsplit("/", 1)[1]
    written = [redact(record.getMessage()) for record in caplog.records]
    assert not [line for line in written if token in line or token.split(".")[0] in line]


# --- browsers ----------------------------------------------------------------------------------------


@pytest.fixture
def session(number: PhoneNumber) -> VoiceSession:
    config = parse({}, provider="web", network_id=number.network_id or "")
    return create_session(project=number.project, config=config, provider="web")


def browser_url(session: VoiceSession, *, seconds: float = 60) -> str:
    token = addresses.browser_token(session.pk, expires_at=time.time() + seconds)
    return addresses.browser_url("wss://voice.example.com", token)


async def test_it_talks_to_a_browser(exchange: Exchange, session: VoiceSession) -> None:
    async with await exchange.dial(browser_url(session), Origin="https://mesh.example.com") as page:
        await page.send('{"event":"start","sample_rate":24000}')
        ready = json.loads(await page.recv())
        [call] = exchange.calls
        assert ready == {"event": "ready", "call_id": call.record.id, "sample_rate": 24000}
        assert call.record.session_id == session.pk
        await page.send(b"\x01\x02\x03")  # a sample and a half
        await page.send(b"\x04")
        assert await page.recv() == b"\x01\x02"
        assert json.loads(await page.recv()) == {"event": "mark", "name": "m0"}
        assert await page.recv() == b"\x03\x04"
        await page.send('{"event":"mark","name":"m0"}')
        await page.send('{"event":"stop"}')
        assert [message async for message in page] == ['{"event":"mark","name":"m1"}']
    assert call.marks == ["m0"]
    exchange.calls.clear()


async def test_it_refuses_pages_tokens_and_sessions_that_are_not_right(
    exchange: Exchange, session: VoiceSession
) -> None:
    url = browser_url(session)
    await refused(exchange, url, Origin="https://evil.example.com")
    await refused(exchange, url, Origin="null")
    await refused(exchange, url[:-1] + ("A" if url[-1] != "A" else "B"))
    await refused(exchange, browser_url(session, seconds=-1))
    await in_thread(end_session, session=session)
    await refused(exchange, url)


async def test_it_takes_one_call_of_a_session_at_a_time(exchange: Exchange, session: VoiceSession) -> None:
    url = browser_url(session)
    async with await exchange.dial(url) as page:
        await page.send('{"event":"start"}')
        await eventually(lambda: exchange.calls)
        with pytest.raises(InvalidStatus):
            await exchange.dial(url)
        exchange.calls[0].end("caller_hung_up")
    await in_thread(PhoneCall.objects.update, state=PhoneCall.State.ENDED)
    exchange.calls.clear()
    async with await exchange.dial(url) as page:
        await page.send('{"event":"start","sample_rate":8000}')  # no rate of ours
        with pytest.raises(ConnectionClosed) as closed:
            await page.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    assert exchange.calls == []


def test_it_derives_the_tokens_key(settings: Any) -> None:
    assert django_settings.SECRET_KEY.encode() not in addresses.token_key()
    before = addresses.token_key()
    settings.SECRET_KEY = "another"
    assert addresses.token_key() != before


def test_it_rings_when_all_is_right(number: PhoneNumber) -> None:
    workers.register("voice-t", address="wss://voice.example.com", slots=1)
    stream_url(ring())
