"""Lines: how calls get in, where they go, and how they end."""

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration import lines_world as lines
from tests.integration.lines_world import (
    AUTH_TOKEN,
    CONNECTED,
    Exchange,
    a_ring,
    a_webhook,
    ended,
    eventually,
    in_thread,
    media,
    ring,
    start,
    stream_url,
    until_true,
    webhook,
)
from voice import runtime, slots, workers
from voice.inline import StartsVoice, lifespan
from voice.models import PhoneCall, PhoneNumber, VoiceWorker

State = PhoneCall.State


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


@pytest.fixture
def worker(number: PhoneNumber) -> VoiceWorker:
    """A voice process with one slot, as the web sees it."""
    workers.register("voice-t", address="wss://voice.example.com", slots=1)
    return VoiceWorker.objects.get()


# --- the webhook -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/twilio/voice", "/twilio"])
def test_it_sends_a_caller_to_a_named_process(worker: VoiceWorker, path: str) -> None:
    answer = ring(path=path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert stream_url(answer).startswith("wss://voice.example.com/ws/voice/twilio/voice-t/")
    assert 'statusCallback="https://mesh.example.com/twilio/stream-status"' in answer.content.decode()
    assert "?" not in stream_url(answer)
    call = PhoneCall.objects.get()
    assert (call.state, call.worker, call.external_id) == (State.RESERVED, "voice-t", "CA1")
    assert (call.from_number, call.to_number) == ("+15005550001", lines.NUMBER)
    assert call.config["connectors"]["llm"]["primary"] == "network"


def test_it_keeps_one_slot_for_a_call_that_is_announced_twice(worker: VoiceWorker) -> None:
    first, again = ring(), ring()
    assert stream_url(first).rsplit("/", 1)[0] == stream_url(again).rsplit("/", 1)[0]
    assert PhoneCall.objects.count() == 1


def test_it_tells_a_caller_of_an_unknown_number_so(worker: VoiceWorker) -> None:
    answer = ring(to="+15005550099").content.decode()
    assert "<Say>" in answer
    assert "<Hangup" in answer
    assert "not in service" in answer
    assert not PhoneCall.objects.exists()


def test_it_refuses_one_call_more_than_there_are_slots(worker: VoiceWorker) -> None:
    stream_url(ring("CA1"))
    answer = ring("CA2").content.decode()
    assert "busy" in answer
    assert "<Stream" not in answer
    refused = PhoneCall.objects.get(external_id="CA2")
    assert (refused.state, refused.end_reason) == (State.REFUSED, "full")
    stream_url(ring("CA1"))  # the first one's slot is untouched


def test_it_lets_a_refused_caller_in_who_calls_again(worker: VoiceWorker) -> None:
    ring("CA1"), ring("CA2")
    webhook("/twilio/status", CallSid="CA1", CallStatus="completed")
    stream_url(ring("CA2"))


def test_it_spreads_callers_over_processes(worker: VoiceWorker) -> None:
    VoiceWorker.objects.update(slots=3)
    workers.register("voice-u", address="wss://voice.example.com", slots=3)
    for sid in ("CA1", "CA2", "CA3", "CA4"):
        ring(sid)
    placed = sorted(PhoneCall.objects.values_list("worker", flat=True))
    assert placed == ["voice-t", "voice-t", "voice-u", "voice-u"]


@pytest.mark.parametrize(
    "change", [{"draining": True}, {"loop_lag_ms": slots.LOOP_LAG_LIMIT_MS}, {"lease_until": "now"}]
)
def test_it_sends_nobody_to_a_process_that_cannot_take_more(
    worker: VoiceWorker, change: dict[str, Any]
) -> None:
    if change.get("lease_until"):
        change = {"lease_until": worker.started_at}
    VoiceWorker.objects.update(**change)
    assert "busy" in ring().content.decode()


def test_it_limits_the_calls_of_a_project(worker: VoiceWorker, settings: Any) -> None:
    settings.MESH_VOICE_CALLS_PER_PROJECT = 1
    VoiceWorker.objects.update(slots=9)
    PhoneNumber.objects.create(project=lines.other_project(), number="+15005550007")
    stream_url(ring("CA1"))
    assert "busy" in ring("CA2").content.decode()
    assert PhoneCall.objects.get(external_id="CA2").end_reason == "project_limit"
    stream_url(ring("CA3", to="+15005550007"))  # another project's number


def test_it_frees_a_slot_whose_stream_did_not_come(worker: VoiceWorker) -> None:
    ring("CA1")
    left = PhoneCall.objects.get().reserved_until
    assert left is not None
    assert 10 < (left - PhoneCall.objects.get().created_at).total_seconds() <= slots.RESERVED_SECONDS + 1
    PhoneCall.objects.update(reserved_until=worker.started_at)  # fifteen seconds pass
    stream_url(ring("CA2"))
    workers.sweep()
    first = PhoneCall.objects.get(external_id="CA1")
    assert (first.state, first.end_reason) == (State.ENDED, "no_stream")


def test_it_hands_callers_to_a_sip_address(number: PhoneNumber) -> None:
    PhoneNumber.objects.update(sip_uri="sip:{to}@pbx.example.com")
    assert f"<Dial><Sip>sip:{lines.NUMBER}@pbx.example.com</Sip></Dial>" in ring().content.decode()


def test_it_lets_no_caller_choose_the_sip_address(number: PhoneNumber) -> None:
    PhoneNumber.objects.update(sip_uri="sip:{from}@pbx.example.com")
    form = {"CallSid": "CA1", "To": lines.NUMBER, "From": "x@evil.example.com;transport=tcp?{to}"}
    answer = lines.webhook("/twilio/voice", **form).content.decode()
    assert "<Sip>sip:x%40evil.example.com%3Btransport%3Dtcp%3F%7Bto%7D@pbx.example.com</Sip>" in answer


def test_it_hands_numbers_of_livekit_to_its_sip(number: PhoneNumber, settings: Any) -> None:
    settings.LIVEKIT = {**settings.LIVEKIT, "sip_uri": "sip:{to}@acme.sip.livekit.cloud"}
    PhoneNumber.objects.update(config={"connectors": {"transport": {"primary": "livekit"}}})
    assert "@acme.sip.livekit.cloud</Sip>" in ring().content.decode()


def test_it_turns_callers_of_a_paused_network_away_politely(worker: VoiceWorker, number: PhoneNumber) -> None:
    assert number.network is not None
    number.network.status = "paused"
    number.network.save()
    assert "cannot take your call" in ring().content.decode()


def test_it_serves_a_sessions_own_webhook(worker: VoiceWorker, number: PhoneNumber) -> None:
    from voice.config_parsing import parse
    from voice.sessions import create_session, end_session

    config = parse({"system_prompt": "Be brief."}, provider="twilio", network_id=number.network_id or "")
    session = create_session(project=number.project, config=config, provider="twilio")
    stream_url(ring(path=f"/twilio/voice/{session.pk}", to="+15005550042"))
    assert PhoneCall.objects.get().session_id == session.pk
    end_session(session=session)
    assert "<Stream" not in ring("CA2", path=f"/twilio/voice/{session.pk}").content.decode()


def test_it_whispers_what_a_transfer_is_about(number: PhoneNumber) -> None:
    call = PhoneCall.objects.create(
        project=number.project, transport="twilio", state=State.ACTIVE, handover="Wants <a refund>."
    )
    answer = webhook(f"/twilio/whisper/{call.pk}", CallSid="CA9").content.decode()
    assert "<Say>Wants &lt;a refund&gt;.</Say>" in answer


# --- the end of calls ----------------------------------------------------------------------------------


def test_it_takes_a_status_callback_any_number_of_times(worker: VoiceWorker) -> None:
    ring()
    for _ in range(3):
        assert webhook("/twilio/status", CallSid="CA1", CallStatus="completed").status_code == 204
    call = PhoneCall.objects.get()
    assert (call.state, call.end_reason) == (State.ENDED, "caller_hung_up")
    assert "<Hangup" in ring().content.decode()  # it stays over


def test_it_ignores_states_that_are_no_end(worker: VoiceWorker) -> None:
    ring()
    webhook("/twilio/status", CallSid="CA1", CallStatus="in-progress")
    webhook("/twilio/stream-status", CallSid="CA1", StreamSid="MZ1", StreamEvent="stream-started")
    assert PhoneCall.objects.get().state == State.RESERVED


def test_it_ends_the_calls_of_a_process_that_died(worker: VoiceWorker) -> None:
    ring()
    PhoneCall.objects.update(state=State.ACTIVE, reserved_until=None)
    VoiceWorker.objects.update(lease_until=worker.started_at)
    workers.sweep()
    assert PhoneCall.objects.get().end_reason == "worker_lost"


def test_it_lets_no_two_living_processes_have_one_name(worker: VoiceWorker) -> None:
    VoiceWorker.objects.update(host="another-host")
    with pytest.raises(workers.NameTaken):
        workers.register("voice-t", address="wss://voice.example.com", slots=1)


# --- the stream ----------------------------------------------------------------------------------------


async def test_it_carries_audio_marks_and_keys_both_ways(exchange: Exchange) -> None:
    url = stream_url(await a_ring())
    async with await exchange.dial(url) as stream:
        await stream.send(CONNECTED)
        await stream.send(start())
        await stream.send(media(b"\x01" * 160))
        answer = json.loads(await stream.recv())
        assert answer["event"] == "media"
        assert answer["streamSid"] == "MZ1"
        assert answer["media"].keys() == {"payload"}
        assert json.loads(await stream.recv()) == {
            "event": "mark",
            "streamSid": "MZ1",
            "mark": {"name": "m0"},
        }
        [call] = exchange.calls
        assert (call.record.external_id, call.record.worker) == ("CA1", "voice-t")
        await stream.send(b"\x00\x01")  # ignored
        await stream.send('{"event": "news"}')  # ignored
        await stream.send("{not JSON")  # ignored
        await stream.send('{"event":"dtmf","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"5"}}')
        await stream.send('{"event":"mark","streamSid":"MZ1","mark":{"name":"m0"}}')
        await eventually(lambda: call.marks == ["m0"] and call.digits == ["5"])
        await stream.send('{"event":"stop","stop":{"accountSid":"AC1","callSid":"CA1"},"streamSid":"MZ1"}')
        with pytest.raises(ConnectionClosed):
            await stream.recv()
    row = await ended()
    assert row.end_reason == call.reasons[0] == "caller_hung_up"
    assert exchange.runtime.calls == {}


async def test_it_compresses_no_audio_whatever_a_carrier_offers(exchange: Exchange) -> None:
    async with await exchange.dial(stream_url(await a_ring()), compression="deflate") as stream:
        assert stream.protocol.extensions == []


async def test_it_ends_a_call_whose_socket_is_lost(exchange: Exchange) -> None:
    stream = await exchange.dial(stream_url(await a_ring()))
    await stream.send(start())
    await eventually(lambda: exchange.calls)
    stream.transport.abort()
    row = await ended(seconds=2)
    assert row.end_reason == "caller_hung_up"


async def test_nothing_of_a_call_that_is_over_stays_in_memory(exchange: Exchange) -> None:
    """A call is a circle of objects. No collection comes by itself here, as in a process that always has calls."""
    gc.disable()
    try:
        stream = await exchange.dial(stream_url(await a_ring()))
        await stream.send(start())
        await eventually(lambda: exchange.calls)
        call = exchange.calls.pop()
        call.marks.append(call)  # type: ignore[arg-type]
        left = weakref.ref(call)
        del call
        stream.transport.abort()
        await ended(seconds=2)
        await eventually(lambda: left() is None)
    finally:
        gc.enable()


async def test_it_ends_a_running_call_by_a_status_callback(exchange: Exchange) -> None:
    async with await exchange.dial(stream_url(await a_ring())) as stream:
        await stream.send(start())
        await eventually(lambda: exchange.runtime.calls)
        await a_webhook("/twilio/status", CallSid="CA1", CallStatus="completed")
        with pytest.raises(ConnectionClosed):
            await stream.recv()
    await ended()
    assert exchange.calls[0].reasons[0] == "caller_hung_up"


async def test_it_ends_a_running_call_that_another_process_was_asked_to_end(exchange: Exchange) -> None:
    async with await exchange.dial(stream_url(await a_ring())) as stream:
        await stream.send(start())
        await eventually(lambda: exchange.runtime.calls)
        await in_thread(PhoneCall.objects.filter(external_id="CA1").update, end_reason="cancelled")
        with pytest.raises(ConnectionClosed):
            await stream.recv()
    assert (await ended()).end_reason == "cancelled"


async def test_it_ends_a_call_whose_stream_says_nothing(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voice.consumers.SILENT_SECONDS", 0.05)
    async with await exchange.dial(stream_url(await a_ring())) as stream:
        await stream.send(start())
        with pytest.raises(ConnectionClosed):
            await stream.recv()
    assert (await ended()).end_reason == "transport_lost"


async def test_it_gives_the_slot_back_when_a_call_breaks(exchange: Exchange) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no such thing")

    exchange.runtime._build = broken
    async with await exchange.dial(stream_url(await a_ring())) as stream:
        await stream.send(start())
        with pytest.raises(ConnectionClosed):
            await stream.recv()
    row = await ended()
    assert (row.end_reason, row.error) == ("failed", "RuntimeError: no such thing")


async def test_it_drains_without_dropping_a_call_or_one_on_the_way(exchange: Exchange) -> None:
    here = stream_url(await a_ring("CA1"))
    on_the_way = stream_url(await a_ring("CA2"))
    async with await exchange.dial(here) as stream:
        await stream.send(start("CA1"))
        await eventually(lambda: exchange.runtime.calls)
        exchange.server.handle_exit(15, None)
        await eventually(lambda: exchange.runtime.draining)
        await until_true(VoiceWorker.objects.filter(draining=True).exists)
        assert "busy" in (await a_ring("CA3")).content.decode()
        async with await exchange.dial(on_the_way) as late:
            await late.send(start("CA2"))
            await late.send(media(b"\x02" * 160))
            assert json.loads(await late.recv())["event"] == "media"
            await late.send('{"event":"stop"}')
        await stream.send(media(b"\x01" * 160))
        assert json.loads(await stream.recv())["event"] == "media"
        assert not exchange.serving_task.done()
        await stream.send('{"event":"stop"}')
    await asyncio.wait_for(exchange.serving_task, 10)
    assert [call.reasons[0] for call in exchange.calls] == ["caller_hung_up", "caller_hung_up"]


async def test_it_ends_calls_that_outlast_the_drain(number: PhoneNumber) -> None:
    async with Exchange().serving(drain_seconds=0.05) as exchange:
        async with await exchange.dial(stream_url(await a_ring())) as stream:
            await stream.send(start())
            await eventually(lambda: exchange.runtime.calls)
            exchange.server.handle_exit(15, None)
            with pytest.raises(ConnectionClosed) as closed:
                await stream.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code != 1012
        await asyncio.wait_for(exchange.serving_task, 10)
        assert exchange.calls[0].reasons == ["drained", *exchange.calls[0].reasons[1:]]


# --- in the web process ----------------------------------------------------------------------------------


async def test_it_starts_voice_in_the_web_process_at_the_first_call_and_ends_it_with_the_server(
    number: PhoneNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = Exchange()
    asked: list[str] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])

    async def obtain() -> Any:
        return await obtain_with(exchange.make)

    obtain_with = runtime.obtain
    monkeypatch.setattr(runtime, "obtain", obtain)
    application = StartsVoice(site)
    await application({"path": "/api/mesh/networks", "method": "POST"}, None, None)
    assert runtime.current() is None
    await application({"path": "/twilio/voice", "method": "POST"}, None, None)
    found = runtime.current()
    assert found is not None
    assert found.ready
    stream_url(await a_ring())

    said: list[str] = []
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Any:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        said.append(message["type"])

    await lifespan({"type": "lifespan"}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert runtime.current() is None
    assert not await in_thread(VoiceWorker.objects.exists)
    assert asked == ["/api/mesh/networks", "/twilio/voice"]
