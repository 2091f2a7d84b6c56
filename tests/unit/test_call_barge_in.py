"""Speech over the agent: paused early, decided soon, resumed when it was nothing."""

from tests.fakes.virtual_time import virtual
from tests.unit.call_world import World, now, pause, session
from voice.pipeline.ports import ReplyText

LONG = "We are open from nine to five on weekdays and from ten to two on Saturdays, and closed on Sundays."


async def speaking(world: World) -> None:
    """Ask, and wait until the agent has been talking for a second."""
    world.responder.scripts.insert(0, [ReplyText(LONG)])
    await world.say("when are you open")
    await world.until(lambda: world.transport.playing)
    await pause(1000)


@virtual
async def test_it_stops_and_clears_when_the_caller_really_interrupts() -> None:
    world = World()
    async with world.live() as call:
        await speaking(world)
        world.voice(600)
        await pause(250)
        world.listener.hear("no I mean tomorrow")
        await world.until(lambda: world.transport.clears)
        cleared = world.transport.clears[0]
        await world.answered(1)
        assert call.reason == ""
        [turn] = world.log.turns
        assert turn.interrupted
        assert world.transport.sent_after(cleared) == 0
        assert 0 < len(turn.heard_text) < len(turn.reply_text)
        assert LONG.startswith(turn.heard_text)
        await world.answered(2)
    assert world.log.turns[1].caller_text == "no I mean tomorrow"
    history = world.responder.requests[1].history
    assert [line.role for line in history] == ["caller", "agent"]
    assert history[1].text == turn.heard_text
    assert world.summary.interruptions == 1
    assert [name for name, _ in world.log.measures] == ["barge_in_ms"]
    assert world.log.measures[0][1] <= 10


@virtual
async def test_it_hears_out_a_cough_and_goes_on_where_it_was() -> None:
    world = World()
    async with world.live():
        await speaking(world)
        world.voice(200)
        await pause(130)
        assert await world.silenced(200)
        assert not await world.silenced(200)
        await world.answered(1)
    [turn] = world.log.turns
    assert not turn.interrupted
    assert turn.heard_text == LONG
    assert world.transport.clears == []
    spoken = b"".join(audio for _, audio in world.transport.sent).replace(b"\xff", b"")
    wanted = b"".join(bytes([0x20 + ord(c) % 64]) * 400 for c in LONG).replace(b"\xff", b"")
    assert spoken == wanted, "not a byte twice, not a byte lost"
    assert world.summary.false_interruptions == 1
    assert len(world.log.of("agent.resumed")) == 1


@virtual
async def test_it_takes_mm_hm_for_listening() -> None:
    world = World()
    async with world.live():
        await speaking(world)
        await world.say("mm-hm", 400)
        await world.answered(1)
        await pause(2000)
    assert [turn.interrupted for turn in world.log.turns] == [False]
    assert world.log.of("transcript.final")[-1] == {"text": "mm-hm", "backchannel": True}


@virtual
async def test_it_interrupts_after_450_ms_without_a_word_known() -> None:
    world = World()
    async with world.live():
        await speaking(world)
        onset = now()
        world.voice(2000)
        await world.until(lambda: world.transport.clears)
        assert 0.44 <= world.transport.clears[0] - onset <= 0.55


@virtual
async def test_it_still_stops_for_a_final_that_comes_late() -> None:
    world = World()
    async with world.live():
        await speaking(world)
        await world.say("stop", 220, partial=False)
        assert not await world.silenced(300), "it went on, not knowing better"
        await world.until(lambda: world.transport.clears)
        await world.answered(2)
    assert world.log.turns[0].interrupted
    assert world.log.turns[1].caller_text == "stop"


@virtual
async def test_it_does_not_take_its_own_echo_for_the_caller() -> None:
    world = World()
    async with world.live():
        await speaking(world)
        world.level = -60.0  # what comes back is far below what was sent
        world.voice(1500)
        await pause(700)
        world.listener.hear("from nine to five")
        await world.answered(1)
    assert [turn.interrupted for turn in world.log.turns] == [False]
    assert world.transport.clears == []
    assert world.summary.false_interruptions == 0


@virtual
async def test_it_clears_at_once_where_the_config_wants_that() -> None:
    world = World(config=session(interrupt="immediate"))
    async with world.live():
        await speaking(world)
        onset = now()
        world.voice(300)
        await world.until(lambda: world.transport.clears)
        assert world.transport.clears[0] - onset <= 0.15


@virtual
async def test_it_speaks_to_the_end_where_nothing_may_interrupt_and_answers_then() -> None:
    world = World(config=session(interrupt="never"))
    async with world.live():
        await speaking(world)
        await world.say("and on holidays")
        await world.answered(2)
    first, second = world.log.turns
    assert first.heard_text == LONG
    assert second.caller_text == "and on holidays"
    assert world.transport.clears == []


@virtual
async def test_it_lets_the_caller_go_on_before_the_answer_was_begun() -> None:
    world = World()
    world.responder.scripts = [[1500.0, ReplyText("Too late.")], [ReplyText("A table for two.")]]
    async with world.live():
        await world.say("I want a table")
        await world.until(lambda: world.responder.requests)
        await pause(200)
        await world.say("for two persons tonight")
        await world.answered(2)
    assert world.speaker.said == ["A table for two."]
    assert world.responder.cancelled == ["I want a table"]
    first, second = world.log.turns
    assert (first.interrupted, first.heard_text) == (True, "")
    assert [line.text for line in world.responder.requests[1].history] == ["I want a table"]
    assert second.caller_text == "for two persons tonight"
    assert world.summary.interruptions == 0, "nothing was being said"


@virtual
async def test_it_goes_on_answering_after_a_noise_before_the_answer() -> None:
    world = World()
    world.responder.scripts = [[1500.0, ReplyText("Here I am.")]]
    async with world.live():
        await world.say("are you there")
        await world.until(lambda: world.responder.requests)
        world.voice(150)
        await world.answered(1)
    assert world.log.turns[0].heard_text == "Here I am."


@virtual
async def test_it_takes_a_yes_over_its_last_words_for_the_answer() -> None:
    world = World(config=session(silence_ms=200))
    world.responder.scripts = [[ReplyText("Shall I book it?")]]
    async with world.live():
        await world.say("a table please")
        await world.until(lambda: world.transport.playing)
        await pause(500)
        await world.say("yes", 250)
        await world.answered(2)
    assert world.log.turns[1].caller_text == "yes"


@virtual
async def test_it_stops_the_model_and_the_voice_when_interrupted() -> None:
    world = World()
    world.speaker.first_ms = 50
    world.responder.scripts = [[ReplyText("This is the first sentence. "), 10_000.0, ReplyText("More.")]]
    async with world.live():
        await world.say("tell me a story")
        await world.until(lambda: world.transport.playing)
        await pause(200)
        await world.say("not this one", 700)
        await world.until(lambda: world.responder.cancelled)
    assert world.responder.cancelled[0] == "tell me a story"


@virtual
async def test_it_goes_on_when_the_interruption_was_a_dog() -> None:
    world = World()
    async with world.live():
        await speaking(world)
        world.voice(800)
        await world.answered(2)
    first, second = world.log.turns
    assert first.interrupted
    assert second.note
    assert "Go on" in world.responder.requests[1].text


@virtual
async def test_it_answers_after_all_when_a_dog_barked_while_it_was_thinking() -> None:
    world = World()
    world.responder.scripts = [[3000.0, ReplyText("Never said.")], [ReplyText("Here is your answer.")]]
    async with world.live():
        await world.say("what is the answer")
        await world.until(lambda: world.responder.requests)
        world.voice(800)
        await world.answered(2)
    assert world.speaker.said == ["Here is your answer."]
    assert [line.text for line in world.responder.requests[1].history] == ["what is the answer"]


@virtual
async def test_it_does_not_answer_its_own_last_words_come_back() -> None:
    world = World()
    world.responder.scripts = [[ReplyText("We close at five.")]]
    async with world.live():
        await world.say("when do you close")
        await world.answered(1)
        await pause(300)
        world.listener.hear("we close at five")
        await pause(3000)
        assert len(world.responder.requests) == 1
        await world.say("thank you")
        await world.answered(2)


@virtual
async def test_it_knows_what_was_heard_before_it_answers_the_interruption() -> None:
    world = World()
    clear = world.transport.clear

    async def slowly() -> None:
        await pause(700)
        await clear()

    world.transport.clear = slowly  # type: ignore[method-assign]
    async with world.live():
        await speaking(world)
        await world.say("stop", 220, partial=False)
        await world.answered(2)
    history = world.responder.requests[1].history
    assert [line.role for line in history] == ["caller", "agent"]
    assert history[1].text == world.log.turns[0].heard_text
