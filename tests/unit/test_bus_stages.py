"""Stages outside: what they do, where it goes next, and who does it when they are late, hang or die."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from agents.providers.errors import Failure, ProviderError
from agents.providers.types import TextDelta
from tests.fakes.virtual_time import virtual
from tests.unit.bus_world import BusWorld, config
from tests.unit.resilience_world import reply
from tests.unit.speech_world import Words, now
from tests.unit.voice_agent_world import request, tool_reply, words
from voice.bus import messages
from voice.bus.messages import Job, Message, Unreadable
from voice.config import Connector
from voice.connectors.types import Speech, Transcript, WordTime
from voice.pipeline.ports import Asked, ReplyPiece, ToolUsed

HERE, OUT = b"h" * 800, b"m" * 800


async def said(world: BusWorld, text: str, turn: int = 1, **options: Any) -> list[ReplyPiece]:
    return [piece async for piece in world.responder.respond(request(text, turn, **options))]


async def spoken(world: BusWorld, text: str = "Hello.") -> bytes:
    """What the caller hears of a clause: a restart drops what came before."""
    audio, speaker = b"", world.speaker()
    async for piece in speaker.speak(text, queued_ms=lambda: 0.0):
        audio = piece.audio if piece.restarts else audio + piece.audio
    await speaker.aclose()
    return audio


# --- envelopes -----------------------------------------------------------------------------------------


def test_it_reads_what_it_wrote() -> None:
    speech = Speech(b"\x01{}\xff", (WordTime(0, 5, 12.5),), restarts=True, connector="azure")
    message = Message("audio", 70_000, messages.speech_fields(speech), speech.audio)
    again = Message.unpack(message.pack())
    assert again.number == 70_000
    assert messages.read_speech(again) == speech
    assert Message.unpack(Message("finish", 3).pack()) == Message("finish", 3)


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"{}", b"[]", b'{"v":2,"t":"done","n":0,"f":{}}', b"\xff\xfe"]
)
def test_it_refuses_what_it_cannot_read(data: bytes) -> None:
    with pytest.raises(Unreadable):
        Message.unpack(data)
    with pytest.raises(Unreadable):
        Job.unpack(data)


def test_it_needs_the_package_only_where_there_is_a_server() -> None:
    code = (
        "import sys; sys.modules['nats'] = None\n"
        "import django; django.setup()\n"
        "import voice.building, voice.parts, voice.sessions\n"
        "import meshsite.management.commands.voice_stage\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- where it goes next --------------------------------------------------------------------------------


@virtual
async def test_it_answers_outside() -> None:
    async with BusWorld() as world:
        member = await world.member()
        member.models.on("anthropic", reply("Hello there."))
        assert words(await said(world, "Hi")) == "Hello there."
        assert not world.here_models.on("anthropic").requests
        assert world.fallbacks() == []


@virtual
async def test_a_stage_put_between_hands_on_to_the_agent_by_itself() -> None:
    async with BusWorld() as world:
        filters, agents = await world.member("filter", name="f"), await world.member("llm", name="a")
        agents.models.on("anthropic", reply("Yes."), reply("Yes."))
        await said(world, "my parcel")
        world.config = config(
            "transport", "stt", "tidy", "llm", "tts", "transport",
            tidy=Connector("filter", config={"replace": {"parcel": "package"}}),
        )  # fmt: skip
        assert await world.stages["tidy"].transform("my parcel") == "my parcel", (
            "its turn comes with the agent's"
        )
        pieces = await said(world, "my parcel", 2)
        assert pieces[0] == Asked("my package")
        assert agents.models.on("anthropic").requests[-1].messages[-1].content == "my package"
        assert filters.service.done == 1
        stages = world.bus.subjects(".stage.")
        assert stages == ["t.voice.stage.llm", "t.voice.stage.filter", "t.voice.stage.llm"]


@virtual
async def test_a_translation_hands_on_and_the_history_has_what_the_agent_was_asked() -> None:
    async with BusWorld() as world:
        translators, agents = await world.member("translate", name="t"), await world.member("llm", name="a")
        translators.models.on("anthropic", reply("Where is my parcel?"))
        agents.models.on("anthropic", reply("It left."))
        world.config = config(
            "transport", "stt", "into_english", "llm", "tts", "transport",
            into_english=Connector("translate", config={"source": "de", "target": "en"}),
        )  # fmt: skip
        pieces = await said(world, "Wo ist mein Paket?")
        assert pieces[0] == Asked("Where is my parcel?")
        assert words(pieces) == "It left."
        assert agents.models.on("anthropic").requests[0].messages[-1].content == "Where is my parcel?"
        assert world.fallbacks() == []


@virtual
async def test_a_clause_goes_through_its_stages_to_the_voice_without_us() -> None:
    async with BusWorld() as world:
        member = await world.member()
        world.config = config(
            "transport", "stt", "llm", "tidy", "loud", "tts", "transport",
            tidy=Connector("filter", config={"replace": {"parcel": "package"}}),
            loud=Connector("filter", config={"replace": {"package": "PACKAGE"}}),
        )  # fmt: skip
        text = await world.stages["loud"].transform(await world.stages["tidy"].transform("Your parcel. "))
        assert await spoken(world, text) == OUT * 3
        assert member.voice.texts == ["Your PACKAGE. "]
        assert len(world.bus.subjects(".stage.tts")) == 1, "it was handed on, and not given again"


@virtual
async def test_it_does_the_rest_itself_when_the_next_stage_is_not_there() -> None:
    async with BusWorld() as world:
        await world.member("filter")
        world.config = config(
            "transport", "stt", "tidy", "llm", "tts", "transport",
            tidy=Connector("filter", config={"replace": {"parcel": "package"}}),
        )  # fmt: skip
        world.here_models.on("anthropic", reply("Yes."))
        assert words(await said(world, "my parcel")) == "Yes."
        assert world.here_models.on("anthropic").requests[0].messages[-1].content == "my package"
        assert world.fallbacks() == [("llm", "nobody", "in process")]


# --- deaths --------------------------------------------------------------------------------------------


@virtual
async def test_it_answers_itself_at_once_when_nobody_is_there() -> None:
    async with BusWorld() as world:
        world.here_models.on("anthropic", reply("Here I am."))
        began = now()
        assert words(await said(world, "Hi")) == "Here I am."
        assert await spoken(world) == HERE
        assert now() - began < 0.01
        assert world.fallbacks() == [("llm", "nobody", "in process"), ("tts", "nobody", "in process")]


@virtual
async def test_it_does_not_wait_for_a_member_that_hangs() -> None:
    async with BusWorld() as world:
        member = await world.member("tts")
        member.hang()
        began = now()
        assert await spoken(world) == HERE
        assert now() - began == pytest.approx(0.5, abs=0.2)
        assert world.fallbacks() == [("tts", "late", "in process")]


@virtual
async def test_it_gives_up_a_member_that_hangs_in_the_middle_and_avoids_its_kind() -> None:
    async with BusWorld() as world:
        member = await world.member("tts")
        member.voice.script(b"m" * 800, 60.0)
        speaking = asyncio.create_task(spoken(world))
        await asyncio.sleep(0.3)
        member.hang()
        assert await speaking == HERE
        began = now()
        assert await spoken(world) == HERE
        assert now() - began < 0.01
        assert [reason for _, reason, _ in world.fallbacks()] == ["hung", "hung"]


@virtual
async def test_a_clause_whose_stage_dies_is_spoken_anew_by_another() -> None:
    async with BusWorld() as world:
        first = await world.member("tts", name="first")
        first.voice.script(b"m" * 800, 60.0)
        speaking = asyncio.create_task(spoken(world))
        await asyncio.sleep(0.3)
        second = await world.member("tts", name="second")
        first.kill()
        assert await speaking == OUT * 3
        assert second.voice.texts == ["Hello."]
        assert world.fallbacks() == [("tts", "died", "another")]


@virtual
async def test_an_answer_whose_stage_dies_goes_on_where_it_was() -> None:
    async with BusWorld() as world:
        member = await world.member("llm")
        member.models.on("anthropic", [TextDelta("Your parcel left. It sho"), asyncio.Event()])
        world.here_models.on("anthropic", reply("Your parcel left. It should come."))
        answering = asyncio.create_task(said(world, "Hi"))
        await asyncio.sleep(0.2)
        member.kill()
        assert words(await answering) == "Your parcel left. It should come."


@virtual
async def test_another_answer_begins_at_the_sentence_where_it_differs() -> None:
    async with BusWorld() as world:
        member = await world.member("llm")
        member.models.on("anthropic", [TextDelta("Your parcel left. It sho"), asyncio.Event()])
        world.here_models.on("anthropic", reply("Your parcel left. We hope it comes."))
        answering = asyncio.create_task(said(world, "Hi"))
        await asyncio.sleep(0.2)
        member.kill()
        assert words(await answering) == "Your parcel left. It sho We hope it comes."


@virtual
async def test_a_task_is_not_started_twice() -> None:
    async with BusWorld() as world:
        world.config = config(llm=Connector("network", (), {}))
        member = await world.member("llm")
        member.models.on("anthropic", tool_reply("start_task", description="Count."), [asyncio.Event()])
        pieces: list[ReplyPiece] = []

        async def ask() -> None:
            async for piece in world.responder.respond(request("Count them")):
                pieces.append(piece)

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0.3)
        assert ToolUsed("start_task") in pieces
        assert world.limits.started == ["task_1"], "the call's limits count it"
        member.kill()
        with pytest.raises(ProviderError) as caught:
            await asking
        assert caught.value.category is Failure.CUT_STREAM
        assert member.desk.started == ["Count."]
        assert world.desk.started == []
        await world.responder.aclose()


@virtual
async def test_a_guess_that_is_taken_may_use_tools_outside() -> None:
    async with BusWorld() as world:
        world.config = config(llm=Connector("network", (), {}))
        member = await world.member("llm")
        member.models.on("anthropic", tool_reply("start_task", description="Count."), reply("Done."))
        asking = asyncio.create_task(said(world, "Count them", speculative=True))
        await asyncio.sleep(0.3)
        assert member.desk.started == []
        world.responder.keep(1)
        assert words(await asking) == "Done."
        assert member.desk.started == ["Count."]
        await world.responder.aclose()


@virtual
async def test_it_stops_the_stage_when_nobody_wants_the_answer_any_more() -> None:
    async with BusWorld() as world:
        member = await world.member()
        member.voice.script(b"m" * 800, 60.0)
        speaking = asyncio.create_task(spoken(world))
        await asyncio.sleep(0.3)
        speaking.cancel()
        await asyncio.sleep(0.3)
        assert member.voice.stopped == 1
        assert member.service.active == 0


@virtual
async def test_a_voice_waits_for_a_caller_who_does_not_take_it() -> None:
    async with BusWorld() as world:
        member = await world.member()
        member.voice.script(*[b"m" * 480] * 300)
        speaker = world.speaker()
        pieces = speaker.speak("Hello.", queued_ms=lambda: 0.0)
        await anext(pieces)
        await asyncio.sleep(1)
        sent = len([sent for sent in world.bus.sent if sent.data[:1] == b"\x01"])
        assert sent == 100, "a window, and no more"
        rest = [piece async for piece in pieces]
        assert 1 + len(rest) == 300


# --- listening -----------------------------------------------------------------------------------------


async def heard_by(listener: Any, found: list[Transcript]) -> None:
    async for transcript in listener.results():
        found.append(transcript)


@virtual
async def test_a_turn_is_heard_whole_when_the_ear_dies_in_it() -> None:
    async with BusWorld() as world:
        first = await world.member("stt", name="first")
        listener, found = world.listener(), list[Transcript]()
        reading = asyncio.create_task(heard_by(listener, found))
        await asyncio.sleep(0.1)
        listener.speech_began()
        sound = Words(alpha=200, bravo=200, charlie=200, delta=200).audio
        for start in range(0, len(sound), 160):
            listener.feed(sound[start : start + 160])
            await asyncio.sleep(0.02)
            if start == 3200:
                second = await world.member("stt", name="second")
                first.kill()
        listener.finish_turn()
        await asyncio.sleep(0.5)
        finals = [transcript for transcript in found if transcript.final]
        assert [(transcript.text, transcript.closes) for transcript in finals] == [
            ("alpha bravo charlie delta", True)
        ]
        assert len(second.ear.streams) == 1
        assert world.fallbacks() == [("stt", "died", "another")]
        assert listener.connector == "deepgram"
        await listener.aclose()
        reading.cancel()
        assert sum(line.seconds for line in listener.use()) > 0


@virtual
async def test_words_that_were_final_are_not_repeated() -> None:
    async with BusWorld() as world:
        member = await world.member("stt")
        listener, found = world.listener(), list[Transcript]()
        reading = asyncio.create_task(heard_by(listener, found))
        await asyncio.sleep(0.1)
        listener.speech_began()
        listener.feed(Words(alpha=200, bravo=200).audio)
        await asyncio.sleep(0.1)
        member.ear.streams[0].settle()
        await asyncio.sleep(0.1)
        member.kill()
        listener.feed(Words(charlie=200).audio)
        await asyncio.sleep(0.1)
        listener.finish_turn()
        await asyncio.sleep(0.5)
        assert [transcript.text for transcript in found if transcript.final] == ["alpha bravo", "charlie"]
        assert world.fallbacks()[-1][2] == "in process"
        await listener.aclose()
        reading.cancel()


@virtual
async def test_a_gap_is_seen_and_the_turn_is_heard_again() -> None:
    async with BusWorld() as world:
        await world.member("stt")
        listener, found = world.listener(), list[Transcript]()
        reading = asyncio.create_task(heard_by(listener, found))
        await asyncio.sleep(0.1)
        listener.speech_began()
        listener.feed(Words(alpha=200).audio)
        work = next(iter(world.dispatcher._works.values()))
        work._sent += 1  # a message that the network lost
        listener.feed(Words(bravo=200).audio)
        await asyncio.sleep(0.1)
        listener.finish_turn()
        await asyncio.sleep(0.5)
        assert [transcript.text for transcript in found if transcript.final] == ["alpha bravo"]
        assert world.fallbacks() == [("stt", "gap", "another")]
        await listener.aclose()
        reading.cancel()


@virtual
async def test_all_goes_on_here_when_the_server_is_lost() -> None:
    async with BusWorld() as world:
        await world.member()
        world.here_models.on("anthropic", reply("Here."))
        listener, found = world.listener(), list[Transcript]()
        reading = asyncio.create_task(heard_by(listener, found))
        await asyncio.sleep(0.1)
        listener.speech_began()
        listener.feed(Words(alpha=200).audio)
        await asyncio.sleep(0.1)
        world.bus.connected = False
        world.dispatcher.lost()
        listener.finish_turn()
        assert words(await said(world, "Hi")) == "Here."
        await asyncio.sleep(0.5)
        assert [transcript.text for transcript in found if transcript.final] == ["alpha"]
        assert {reason for _, reason, _ in world.fallbacks()} == {"disconnected"}
        await listener.aclose()
        reading.cancel()


@virtual
async def test_a_member_that_ends_gives_its_works_back() -> None:
    async with BusWorld() as world:
        member = await world.member("stt")
        listener, found = world.listener(), list[Transcript]()
        reading = asyncio.create_task(heard_by(listener, found))
        await asyncio.sleep(0.1)
        listener.speech_began()
        listener.feed(Words(alpha=200).audio)
        await asyncio.sleep(0.1)
        await member.service.drain(0.2)
        listener.feed(Words(bravo=200).audio)
        listener.finish_turn()
        await asyncio.sleep(0.5)
        assert [transcript.text for transcript in found if transcript.final] == ["alpha bravo"]
        await listener.aclose()
        reading.cancel()


@virtual
async def test_it_does_not_go_on_for_a_voice_process_that_is_gone() -> None:
    async with BusWorld() as world:
        member = await world.member("stt")
        listener, found = world.listener(), list[Transcript]()
        reading = asyncio.create_task(heard_by(listener, found))
        await asyncio.sleep(0.1)
        assert member.service.active == 1
        world.bus.leave("voice")
        await asyncio.sleep(3)
        assert member.service.active == 0
        assert member.ear.streams[0].closed
        await listener.aclose()
        reading.cancel()


@virtual
async def test_a_work_whose_end_was_not_heard_ends_all_the_same() -> None:
    async with BusWorld() as world:
        member = await world.member("stt")
        listener = world.listener()
        await asyncio.sleep(0.1)
        for work in list(world.dispatcher._works.values()):
            world.dispatcher.forget(work)  # as if the word that it is over had been lost
        await asyncio.sleep(3)
        assert member.service.active == 0
        await listener.aclose()
