"""Whole calls through the real processes: webhook, stream, vendors' wire formats, agent, playout, API."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError

import pytest
import pytest_asyncio

from tests.fakes.caller import clips
from tests.fakes.caller.carrier import Carrier
from tests.fakes.caller.line import REAL
from tests.fakes.caller.person import Person
from tests.fakes.caller.websocket import Refused
from tests.fakes.speech_vendor import SpeechFault
from tests.fakes.vendor_script import Reply
from tests.fakes.voice_world import REPLY, VENDORS, VoiceWorld, free_ports, until, voice_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

QUESTION = "when will my parcel arrive"
SHORT = "It should reach you on Thursday."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[VoiceWorld]:
    async with voice_world(free_ports(2), reply=SHORT) as world:
        yield world
        print(world.log())


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: VoiceWorld) -> AsyncIterator[VoiceWorld]:
    """The running service, with vendors that do well again after each test."""
    yield running
    for vendor in running.vendors.everything:
        vendor.reset()
    running.vendors.anthropic.latency = 0.0
    running.vendors.anthropic.always = Reply(text=SHORT)
    await running.settled()


def config(**changes: Any) -> dict[str, Any]:
    """The vendors' config with some settings of turns."""
    return {**VENDORS, "turn": {**VENDORS["turn"], **changes}}


def words(text: str) -> int:
    return len(text.split())


# --- a call ------------------------------------------------------------------------------------------


async def test_it_answers_a_caller_and_writes_the_call_down(world: VoiceWorld) -> None:
    to = await world.number(config(greeting="Hello, this is the demo network."))

    async def script(caller: Person) -> None:
        await caller.listen()
        await caller.ask(QUESTION)

    report = await world.person(to).call(script)
    assert not report.refused
    assert not report.gave_up
    assert report.heard == f"Hello, this is the demo network. {SHORT}"
    call = await world.detail(report)
    assert (call["state"], call["end_reason"], call["to"]) == ("ended", "caller_hung_up", to)
    greeting, answer = call["turns"]
    assert greeting["heard_text"] == "Hello, this is the demo network."
    assert (answer["caller_text"], answer["reply_text"], answer["heard_text"]) == (QUESTION, SHORT, SHORT)
    assert {"stt_final", "first_token", "first_clause", "first_audio", "first_frame"} <= answer[
        "latencies"
    ].keys()
    assert call["cost"] > 0
    assert call["mos"] > 3
    assert [line["role"] for line in call["transcript"]] == ["agent", "caller", "agent"]
    events = await world.ask("GET", f"/api/voice/calls/{call['id']}/events?limit=200")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {"call.started", "transcript.final", "turn.completed", "call.ended"} <= {e["type"] for e in events}


async def test_it_understands_a_caller_whose_frames_are_lost_and_out_of_order(world: VoiceWorld) -> None:
    to = await world.number()

    async def script(caller: Person) -> None:
        caller.send_raw(binary=b"\0\1")
        caller.send_raw(b'{"event":"surprise","streamSid":"%b"}' % caller.stream_sid.encode())
        caller.send_raw(b"not json")
        await caller.ask(QUESTION)

    report = await world.person(to, line=replace(REAL, drop=0.01, swap=0.02), seed=7).call(script)
    call = await world.detail(report)
    assert report.dropped
    heard = call["turns"][0]["caller_text"].split()
    assert len(set(heard) & set(QUESTION.split())) >= words(QUESTION) - 1
    assert call["turns"][0]["heard_text"] == SHORT


async def test_it_takes_keys(world: VoiceWorld) -> None:
    to = await world.number(config(dtmf_timeout_ms=500))

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)
        await caller.press("42#")
        await caller.hears(500)

    call = await world.detail(await world.person(to).call(script))
    assert len(call["turns"]) == 2, call
    assert call["turns"][1]["caller_text"].rstrip("#") == "42"


async def test_it_keeps_personal_data_out_of_what_is_written_down(world: VoiceWorld) -> None:
    to = await world.number(config(redact=True))

    async def script(caller: Person) -> None:
        await caller.ask("my address is jane.doe@example.com thank you")

    call = await world.detail(await world.person(to).call(script))
    assert "jane.doe" not in str(call["transcript"])
    assert "thank you" in call["turns"][0]["caller_text"]


async def test_it_follows_a_config_that_changes_in_mid_call(world: VoiceWorld) -> None:
    networks = await world.ask("GET", "/api/mesh/networks")
    body = {**config(), "network_id": networks[0]["id"], "provider": "twilio"}
    session = await world.ask("POST", "/api/voice/sessions/with-config", body)

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)
        tts = {"primary": "azure", "fallback": []}
        changed = {**config(), "connectors": {**VENDORS["connectors"], "tts": tts}}
        await world.ask("PUT", f"/api/voice/sessions/{session['session_id']}/config", changed)
        await caller.wait(0.5)
        await caller.ask(QUESTION)

    webhook = f"/twilio/voice/{session['session_id']}"
    report = await world.person("+15005550009", webhook=webhook).call(script)
    call = await world.detail(report)
    assert [turn["tts"] for turn in call["turns"]] == ["elevenlabs", "azure"]
    assert [turn["heard_text"] for turn in call["turns"]] == [SHORT, SHORT]


@pytest.mark.parametrize("how", ["ended", "expired"])
async def test_it_goes_on_with_what_it_has_when_the_session_is_over(world: VoiceWorld, how: str) -> None:
    networks = await world.ask("GET", "/api/mesh/networks")
    body = {**config(), "network_id": networks[0]["id"], "provider": "twilio"}
    session = await world.ask("POST", "/api/voice/sessions/with-config", body)
    path = f"/api/voice/sessions/{session['session_id']}"
    webhook = f"/twilio/voice/{session['session_id']}"

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)
        if how == "ended":
            await world.ask("DELETE", path)
        else:
            await world.ask("POST", f"{path}/ttl", {"ttl_seconds": 1})
            await caller.wait(1.2)
        await caller.ask(QUESTION)

    call = await world.detail(await world.person("+15005550009", webhook=webhook).call(script))
    assert [turn["heard_text"] for turn in call["turns"]] == [SHORT, SHORT]
    assert (call["end_reason"], call["error"]) == ("caller_hung_up", None)
    with pytest.raises(HTTPError, match="410"):
        await world.ask("GET", f"{path}/config")
    late = await world.person("+15005550009", webhook=webhook).call(script)
    assert late.refused


# --- taking turns --------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", ["elevenlabs", "elevenlabs without timestamps", "azure"])
async def test_it_falls_silent_and_knows_what_was_heard(world: VoiceWorld, voice: str) -> None:
    world.vendors.elevenlabs.set(timestamps=voice == "elevenlabs", chunk_interval_ms=20)
    world.vendors.anthropic.always = Reply(text=REPLY)
    tts = {"primary": voice.split()[0], "fallback": []}
    to = await world.number({**config(), "connectors": {**VENDORS["connectors"], "tts": tts}})
    exchanges = []

    async def script(caller: Person) -> None:
        await caller.say(QUESTION)
        exchanges.append(await caller.interrupt("stop talking now please", after_ms=2500))
        await caller.listen()

    report = await world.person(to, line=REAL, seed=3).call(script)
    (stopped,) = exchanges
    assert stopped.clear is not None
    assert stopped.frames_after_clear == 0
    call = await world.detail(report)
    interrupted, after = call["turns"]
    assert interrupted["interrupted"]
    assert abs(words(interrupted["heard_text"]) - len(stopped.stopped)) <= 1
    assert REPLY.startswith(interrupted["heard_text"])
    assert after["caller_text"] == "stop talking now please"
    assert call["interruptions"] == 1


@pytest.mark.parametrize("sound", ["cough", "mm-hm"])
async def test_it_goes_on_where_it_was_after_a_sound_that_means_nothing(
    world: VoiceWorld, sound: str
) -> None:
    to = await world.number()
    world.vendors.anthropic.always = Reply(text=REPLY)

    async def script(caller: Person) -> None:
        await caller.say(QUESTION)
        await caller.hears(1500)
        await caller.make_noise(clips.cough() if sound == "cough" else clips.backchannel())
        await caller.listen(900)

    report = await world.person(to).call(script)
    call = await world.detail(report)
    assert report.clears == 0
    assert report.heard == REPLY
    assert min(word.share for word in report.words) == 1  # not a frame is missing
    assert (call["interruptions"], call["turns"][0]["heard_text"]) == (0, REPLY)


# --- what breaks ------------------------------------------------------------------------------------


async def test_it_loses_no_word_when_the_voice_dies_in_mid_sentence(world: VoiceWorld) -> None:
    to = await world.number()
    world.vendors.anthropic.always = Reply(text=REPLY)
    world.vendors.elevenlabs.set(chunk_interval_ms=50)

    async def script(caller: Person) -> None:
        await caller.say(QUESTION)
        await caller.listen()
        world.vendors.elevenlabs.always = SpeechFault("cut", after_ms=1500)
        await caller.ask(QUESTION)

    report = await world.person(to).call(script)
    call = await world.detail(report)
    second = [word.text for word in report.words[words(REPLY) :]]
    missing = [word for word in REPLY.split() if word not in second]
    assert not missing
    assert call["turns"][1]["heard_text"] == REPLY
    assert any(use["connector"] == "azure" for use in call["use"])


async def test_it_loses_no_word_of_the_caller_when_the_recogniser_dies(world: VoiceWorld) -> None:
    stt = {"primary": "deepgram", "fallback": ["openai"]}
    to = await world.number({**config(), "connectors": {**VENDORS["connectors"], "stt": stt}})
    world.vendors.deepgram.always = SpeechFault("cut", after_ms=700)

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)

    call = await world.detail(await world.person(to).call(script))
    assert call["turns"][0]["caller_text"] == QUESTION
    assert any((use["kind"], use["connector"]) == ("stt", "openai") for use in call["use"])


@pytest.mark.parametrize(
    "state", ["connected", "greeting", "talking", "thinking", "speaking", "paused", "cut"]
)
async def test_it_frees_everything_when_the_caller_hangs_up(world: VoiceWorld, state: str) -> None:
    to = await world.number(config(greeting="Hello." if state == "greeting" else ""))
    before = await world.settled()

    async def script(caller: Person) -> None:
        match state:
            case "greeting":
                await caller.hears(100)
            case "talking":
                caller.start_saying(QUESTION)
                await caller.wait(0.6)
            case "thinking":
                world.vendors.anthropic.latency = 5.0
                await caller.say(QUESTION)
                await caller.wait(0.5)
            case "speaking" | "cut":
                await caller.say(QUESTION)
                await caller.hears(300)
            case "paused":
                await caller.say(QUESTION)
                await caller.hears(300)
                caller.start_saying(QUESTION)
                await caller.wait(0.2)
        if state == "cut":
            caller.vanish()

    report = await world.person(to).call(script)
    call = await world.detail(report)
    assert call["state"] == "ended"
    # The spare connection for the next clause and the process's own jobs may differ by one or two.
    after = await until(world.footprint, lambda found: found.tasks <= before.tasks + 2, 5)
    assert after.calls == 0
    gone = [call.gone for vendor in world.vendors.speech.values() for call in vendor.calls if call.heard_ms]
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in gone)), 5)


@pytest.mark.parametrize("fault", ["no signature", "another's signature", "a changed token", "a used token"])
async def test_it_opens_no_vendor_for_a_stream_that_is_not_right(world: VoiceWorld, fault: str) -> None:
    caller = world.person(await world.number())
    told = await caller.carrier.ring(caller.report.call_sid, caller.report.to, caller.report.caller)
    if fault == "a used token":
        await caller.open(told)
        await caller.hang_up()
        await world.settled()
    elif fault == "a changed token":
        told = replace(told, stream=told.stream[:-1] + ("A" if told.stream[-1] != "A" else "B"))
    for vendor in world.vendors.everything:
        vendor.calls.clear()
    forger = world.person(caller.report.to)
    forger.report.call_sid = caller.report.call_sid
    forger.carrier = Carrier(
        caller.carrier.url,
        {"no signature": "", "another's signature": "f" * 32}.get(fault, caller.carrier.auth_token),
    )
    try:
        with pytest.raises(Refused, match="403"):
            await forger.open(told)
    finally:
        await forger.carrier.aclose()
    assert [call.path for vendor in world.vendors.everything for call in vendor.calls] == []


async def test_it_opens_no_vendor_for_a_stream_of_another_call(world: VoiceWorld) -> None:
    """All is signed, and the token is right, but the stream says that it belongs to somebody else."""
    person = world.person(await world.number())
    told = await person.carrier.ring(person.report.call_sid, person.report.to, person.report.caller)
    person.report.call_sid = "CA" + "f" * 32
    await person.open(told)
    await person.hung_up_on()
    assert person.report.close_code == 1008
    assert [call.path for vendor in world.vendors.everything for call in vendor.calls] == []
