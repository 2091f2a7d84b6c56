"""Calls that we place, transfer and end, through the real library against Twilio's wire format."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from networks.models import Scope
from networks.services import create_api_key
from tests.fakes.twilio_rest import TwilioRest
from tests.integration import lines_world as lines
from tests.integration.lines_world import (
    AUTH_TOKEN,
    Exchange,
    a_ring,
    ended,
    eventually,
    in_thread,
    media,
    start,
    stream_url,
    webhook,
)
from voice import outbound
from voice.models import PhoneCall, PhoneNumber
from voice.pipeline.ports import NotPossible

TO = "+15005550100"


async def post(url: str, form: dict[str, str], signature: str) -> tuple[int, str]:
    answer = await in_thread(webhook, urlsplit(url).path, signature=signature, **form)
    return answer.status_code, answer.content.decode()


@pytest.fixture
async def twilio(settings: Any) -> AsyncIterator[TwilioRest]:
    settings.PUBLIC_BASE_URL = "https://mesh.example.com"
    async with TwilioRest(AUTH_TOKEN, post=post) as rest:
        settings.TWILIO = {
            "account_sid": rest.account_sid,
            "auth_token": AUTH_TOKEN,
            "phone_number": "",
            "base_url": rest.url,
        }
        yield rest


@pytest.fixture
def number(transactional_db: None, twilio: TwilioRest) -> PhoneNumber:
    return lines.make_number()


@pytest.fixture
async def exchange(number: PhoneNumber) -> AsyncIterator[Exchange]:
    async with Exchange().serving() as serving:
        yield serving


async def place(number: PhoneNumber, to: str = TO, **more: Any) -> PhoneCall:
    call: PhoneCall = await in_thread(
        outbound.place_call, project_id=number.project_id, network_id=number.network_id, to=to, **more
    )
    return call


async def order(number: PhoneNumber) -> Any:
    """Ask over HTTP for a call, by the same key each time."""

    def post() -> Any:
        _, secret = create_api_key(
            project=number.project, name="caller", scopes=[Scope.VOICE], secret="mesh_" + "k" * 40
        )
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "once"}
        body = {"to": TO, "network_id": number.network_id}
        return Client().post("/api/voice/calls", body, content_type="application/json", headers=headers)

    return await in_thread(post)


async def test_it_talks_to_whom_it_called(
    exchange: Exchange, twilio: TwilioRest, number: PhoneNumber
) -> None:
    call = await place(number, config={"language": "en-GB"})
    assert (call.state, call.direction) == (PhoneCall.State.DIALLING, "outbound")
    assert (call.from_number, call.to_number) == (lines.NUMBER, TO)
    [sid] = twilio.calls
    assert call.external_id == sid
    await twilio.ring(sid)
    url = stream_url(_Answer(await twilio.answer(sid)))
    async with await exchange.dial(url) as stream:
        await stream.send(start(sid))
        await stream.send(media(b"\x01" * 160))
        assert json.loads(await stream.recv())["event"] == "media"
        [built] = exchange.calls
        assert (built.record.id, built.record.direction) == (call.pk, "outbound")
        assert built.record.config == {"language": "en-GB"}
        await twilio.hang_up(sid)
        assert [json.loads(message)["event"] async for message in stream] == ["mark"]
    await ended(sid)
    assert [status for status, _ in twilio.calls[sid].told] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert {answer for _, answer in twilio.calls[sid].told} == {204}


@pytest.mark.parametrize(
    ("status", "reason"), [("busy", "busy"), ("no-answer", "no_answer"), ("failed", "failed")]
)
async def test_it_writes_down_why_nobody_answered(
    twilio: TwilioRest, number: PhoneNumber, status: str, reason: str
) -> None:
    await place(number)
    [sid] = twilio.calls
    await twilio.hang_up(sid, status)
    await twilio.hang_up(sid, status)  # told twice
    row = await ended(sid)
    assert row.end_reason == reason


async def test_it_talks_to_somebody_who_answers_before_we_know_that_it_rings(
    exchange: Exchange, twilio: TwilioRest, number: PhoneNumber
) -> None:
    twilio.at_once = True
    answer = await order(number)
    assert answer.status_code == 201, answer.content
    [sid] = twilio.calls
    assert answer.json()["external_id"] == sid
    url = stream_url(_Answer(twilio.calls[sid].twiml[0]))
    async with await exchange.dial(url) as stream:
        await stream.send(start(sid))
        await stream.send(media(b"\x01" * 160))
        assert json.loads(await stream.recv())["event"] == "media"
        assert exchange.calls[0].record.id == answer.json()["id"]
        again = await order(number)
        assert (again.status_code, again.json()) == (201, answer.json())
        assert again.headers["Idempotent-Replayed"] == "true"
        assert len(twilio.calls) == 1
        await twilio.hang_up(sid)
    row = await ended(sid)
    assert (row.end_reason, row.from_number) == ("caller_hung_up", lines.NUMBER)


async def test_it_may_be_asked_again_with_the_same_key_when_twilio_refused(
    exchange: Exchange, twilio: TwilioRest, number: PhoneNumber
) -> None:
    twilio.fail_with = (500, 20500, "Internal Server Error")
    assert (await order(number)).status_code == 502
    twilio.fail_with = None
    assert (await order(number)).status_code == 201
    assert len(twilio.calls) == 1


async def test_it_dials_no_more_than_the_project_may(
    exchange: Exchange, twilio: TwilioRest, number: PhoneNumber, settings: Any
) -> None:
    settings.MESH_VOICE_CALLS_PER_PROJECT = 2
    await place(number)
    await place(number)
    answer = await order(number)
    assert (answer.status_code, answer.json()["code"]) == (503, "lines_busy")
    assert len(twilio.calls) == 2
    await twilio.hang_up(next(iter(twilio.calls)), "busy")
    assert (await order(number)).status_code == 201


async def test_it_holds_no_slot_while_it_rings(
    exchange: Exchange, twilio: TwilioRest, number: PhoneNumber
) -> None:
    exchange.runtime.capacity = 1
    await place(number)
    stream_url(await a_ring("CA1"))


async def test_it_says_so_when_somebody_answers_and_there_is_no_slot(
    twilio: TwilioRest, number: PhoneNumber
) -> None:
    await place(number)
    [sid] = twilio.calls
    assert "busy" in await twilio.answer(sid)


async def test_it_tells_what_twilio_refuses(twilio: TwilioRest, number: PhoneNumber) -> None:
    twilio.fail_with = (400, 21215, "Account not authorized to call that number.")
    with pytest.raises(outbound.CarrierFailed, match="not authorized") as failure:
        await place(number)
    assert failure.value.status == 400
    row = await in_thread(PhoneCall.objects.get)
    assert (row.state, row.end_reason) == (PhoneCall.State.ENDED, "failed")
    assert "21215" in row.error


async def test_it_tells_when_twilio_is_away(twilio: TwilioRest, number: PhoneNumber, settings: Any) -> None:
    settings.TWILIO = {**settings.TWILIO, "base_url": "http://127.0.0.1:9"}
    with pytest.raises(outbound.CarrierFailed, match="could not be reached"):
        await place(number)
    assert (await in_thread(PhoneCall.objects.get)).state == PhoneCall.State.ENDED


@pytest.mark.parametrize("to", ["", "12", "+1", "tel:+15005550100", "+15005550100;ext", "sip:x"])
async def test_it_dials_nothing_that_is_no_number(twilio: TwilioRest, number: PhoneNumber, to: str) -> None:
    with pytest.raises(outbound.CarrierFailed):
        await place(number, to)
    assert twilio.requests == []


async def test_it_needs_an_account(number: PhoneNumber, settings: Any) -> None:
    settings.TWILIO = {**settings.TWILIO, "account_sid": ""}
    with pytest.raises(outbound.NotConfigured):
        await place(number)
    assert not await in_thread(PhoneCall.objects.exists)


# --- the line of a call in progress ---------------------------------------------------------------------


@pytest.fixture
async def line(exchange: Exchange, twilio: TwilioRest, number: PhoneNumber) -> AsyncIterator[Any]:
    """The line of a call that we placed and that was answered."""
    await place(number)
    [sid] = twilio.calls
    url = stream_url(_Answer(await twilio.answer(sid)))
    async with await exchange.dial(url) as stream:
        await stream.send(start(sid))
        await eventually(lambda: exchange.calls)
        yield exchange.calls[0].line


async def test_it_transfers_cold(line: Any, twilio: TwilioRest) -> None:
    await line.transfer("+15005550200", mode="cold", summary="")
    [call] = twilio.calls.values()
    assert f'<Dial callerId="{lines.NUMBER}"><Number>+15005550200</Number></Dial>' in call.twiml[-1]


async def test_it_transfers_warm_and_tells_the_person_what_it_is_about(line: Any, twilio: TwilioRest) -> None:
    await line.transfer("+15005550200", mode="warm", summary="Ms Ray wants a refund.")
    [call] = twilio.calls.values()
    url = call.twiml[-1].split('url="')[1].split('"')[0]
    assert "refund" not in url
    assert "<Say>Ms Ray wants a refund.</Say>" in await twilio.fetch(call.sid, url)


async def test_it_hangs_up(line: Any, twilio: TwilioRest) -> None:
    await line.hang_up()
    [call] = twilio.calls.values()
    assert call.status == "completed"


async def test_it_says_why_a_transfer_is_not_possible(line: Any, twilio: TwilioRest, settings: Any) -> None:
    with pytest.raises(NotPossible, match="not a complete telephone number"):
        await line.transfer("12", mode="cold", summary="")
    twilio.fail_with = (500, 20500, "Internal Server Error")
    with pytest.raises(NotPossible, match="did not take"):
        await line.transfer("+15005550200", mode="cold", summary="")
    settings.TWILIO = {**settings.TWILIO, "account_sid": ""}
    with pytest.raises(NotPossible, match="cannot be transferred here"):
        await line.transfer("+15005550200", mode="cold", summary="")


class _Answer:
    """A TwiML text where an HTTP answer is expected."""

    def __init__(self, text: str) -> None:
        self.content = text.encode()
