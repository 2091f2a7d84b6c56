"""How calls begin: consent to a recording, and outbound calls that a person or a machine takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.virtual_time import virtual
from tests.unit.call_world import World, now, pause, session
from voice.audio import TELEPHONE
from voice.pipeline.dtmf_tones import tones
from voice.pipeline.mulaw import encode
from voice.pipeline.ports import ReplyText
from voice.pipeline.recording import StereoRecorder
from voice.pipeline.voicemail import BeepDetector

ASK = "This call may be recorded. Do you agree?"


def recorded(tmp_path: Path, **turn: Any) -> World:
    settings = {"record": True, "consent_prompt": ASK, "greeting": "How can I help?"} | turn
    world = World(config=session(**settings))
    world.options["recorder"] = lambda: StereoRecorder(tmp_path / "call.wav", TELEPHONE)
    return world


@virtual
async def test_it_records_when_the_caller_says_yes(tmp_path: Path) -> None:
    world = recorded(tmp_path)
    async with world.live():
        await world.answered(1)
        assert not (tmp_path / "call.wav").exists()
        await world.say("yes that is fine")
        await world.answered(2)
        await world.say("what time is it")
        await world.answered(3)
    assert world.speaker.said == [ASK, "How can I help?", "You said what time is it."]
    assert world.log.of("recording.started") == [{"file": "call.wav"}]
    assert (tmp_path / "call.wav").stat().st_size > 32_000
    assert world.responder.requests[0].text == "what time is it"


@virtual
async def test_it_records_when_the_caller_presses_one_over_the_question(tmp_path: Path) -> None:
    world = recorded(tmp_path)
    async with world.live() as call:
        await pause(500)
        call.digit("1")
        await world.until(lambda: (tmp_path / "call.wav").exists(), 3)
        await world.answered(2)
    assert world.speaker.said == [ASK, "How can I help?"]


@virtual
async def test_it_takes_a_yes_that_comes_over_the_question(tmp_path: Path) -> None:
    world = recorded(tmp_path)
    async with world.live():
        await pause(500)
        await world.say("yes", 250)
        await world.until(lambda: (tmp_path / "call.wav").exists(), 3)
        await world.answered(2)


@pytest.mark.parametrize("reply", ["no I don't", "2", "", "what are your opening hours"])
@virtual
async def test_it_does_not_record_without_a_yes(tmp_path: Path, reply: str) -> None:
    world = recorded(tmp_path)
    async with world.live() as call:
        await world.answered(1)
        if reply.isdigit():
            call.digit(reply)
        elif reply:
            await world.say(reply)
        await world.answered(2)
    said = "You said what are your opening hours." if reply.startswith("what") else "How can I help?"
    assert world.speaker.said == [ASK, said]
    assert not (tmp_path / "call.wav").exists()


@virtual
async def test_it_does_not_record_where_the_config_does_not_ask(tmp_path: Path) -> None:
    world = recorded(tmp_path, consent_prompt="")
    async with world.live():
        await world.answered(1)
        await world.say("yes")
        await world.answered(2)
    assert not (tmp_path / "call.wav").exists()


# ---- outbound -----------------------------------------------------------------------------------


def outbound(**turn: Any) -> World:
    settings = {"greeting": "Hello, this is Ada calling."} | turn
    world = World(config=session(**settings))
    world.options["outbound"] = True
    return world


@virtual
async def test_it_lets_the_called_speak_first() -> None:
    world = outbound()
    async with world.live():
        await pause(800)
        await world.say("hello", 300)
        assert world.speaker.said == []
        await world.answered(1)
    assert world.log.turns[0].caller_text == "hello"
    assert world.log.turns[0].heard_text == "Hello, this is Ada calling."


@virtual
async def test_it_greets_the_called_who_says_nothing() -> None:
    world = outbound()
    async with world.live():
        await world.until(lambda: world.speaker.said)
        assert 2.4 <= now() - 1000 <= 2.7


@virtual
async def test_it_hangs_up_on_a_machine_that_talks_and_talks() -> None:
    world = outbound(voicemail="hang_up")
    async with world.live():
        await pause(500)
        world.voice(9000)
        await world.running
        assert now() - 1000 < 6.5
    assert world.summary.reason == "voicemail"
    assert world.log.of("voicemail.detected") == [{"by": "monologue", "policy": "hang_up"}]
    assert world.line is not None
    assert world.line.hung_up == 1


@virtual
async def test_it_leaves_its_message_after_the_beep() -> None:
    world = outbound(voicemail="message", voicemail_message="Please call us back.")
    async with world.live() as call:
        await pause(500)
        world.voice(3000)
        await pause(1500)
        world.listener.hear("you have reached Bob please leave a message after the tone")
        await pause(2000)
        assert world.speaker.said == []
        beep = encode((np.sin(2 * np.pi * 1000 / 8000 * np.arange(4000)) * 12000).astype("<i2").tobytes())
        for start in range(0, len(beep), 160):
            call.audio(beep[start : start + 160], None)
        await world.running
        assert not world.transport.playing
    assert world.log.of("voicemail.detected") == [{"by": "words", "policy": "message"}]
    assert world.speaker.said == ["Please call us back."]
    assert world.log.turns[0].heard_text == "Please call us back."
    assert world.responder.requests == [], "nobody talks to a machine"
    assert world.summary.reason == "voicemail"


@virtual
async def test_it_leaves_its_message_in_the_silence_when_no_beep_comes() -> None:
    world = outbound(voicemail="message", voicemail_message="Please call us back.")
    async with world.live():
        world.voice(5500)
        await pause(6000)
        assert world.speaker.said == []
        await world.running
    assert world.speaker.said == ["Please call us back."]


@virtual
async def test_it_stops_greeting_when_it_was_a_machine_after_all() -> None:
    world = outbound(
        voicemail="hang_up", greeting="Hello, this is Ada calling about your order of last week."
    )
    async with world.live():
        await pause(300)
        await world.say("hi there", 600)
        await world.until(lambda: world.transport.playing)
        world.voice(900)
        await pause(200)
        world.listener.hear("I am not available to take your call")
        await world.running
    assert world.summary.reason == "voicemail"


@virtual
async def test_it_only_notes_a_machine_where_it_is_to_be_ignored() -> None:
    world = outbound(voicemail="ignore")
    async with world.live():
        await world.say("the mailbox of Bob", 900)
        await world.answered(1)
    assert world.log.of("voicemail.detected") == [{"by": "words", "policy": "ignore"}]
    assert world.summary.reason == "caller_hung_up"


@virtual
async def test_it_talks_to_a_person_who_answers_an_outbound_call() -> None:
    world = outbound(voicemail="hang_up")
    world.responder.scripts = [[ReplyText("It is about your order.")]]
    async with world.live():
        await world.say("hello", 400)
        await world.answered(1)
        await world.say("what is it about", 1200)
        await world.answered(2)
    assert world.log.of("voicemail.detected") == []
    assert world.log.turns[1].heard_text == "It is about your order."


def test_it_knows_a_beep_from_speech_and_keys() -> None:
    rate = np.arange(8000) / 8000
    noise = np.random.default_rng(1).normal(0, 3000, 8000)
    buzz = sum(np.sin(2 * np.pi * 140 * n * rate) / n for n in range(1, 20)) * 6000  # a voice's harmonics

    def found(wave: Any) -> bool:
        return BeepDetector(TELEPHONE).push(encode(np.asarray(wave).astype("<i2").tobytes()))

    assert found(np.sin(2 * np.pi * 1400 * rate) * 8000)
    assert found(np.sin(2 * np.pi * 440 * rate) * 3000 + noise / 20)
    assert not found(noise)
    assert not found(buzz)
    assert not found(np.zeros(8000))
    assert not BeepDetector(TELEPHONE).push(tones("1234567890", TELEPHONE))
