"""When a turn is over, and answers begun before it is."""

import asyncio

import pytest

from tests.fakes.garbage import garbage
from tests.fakes.virtual_time import virtual
from tests.unit.call_world import World, now, pause, session
from voice.pipeline.phrases import phrases
from voice.pipeline.ports import ReplyText, ToolUsed


@pytest.mark.parametrize("silence", [200, 500, 1000])
@virtual
async def test_it_answers_after_the_silence_that_the_config_asks_for(silence: int) -> None:
    world = World(config=session(silence_ms=silence))
    async with world.live():
        ended = await world.say("good morning")
        await world.until(lambda: world.responder.requests)
        waited = (now() - ended) * 1000
        assert silence - 1 <= waited <= silence + 100


@virtual
async def test_it_waits_longer_for_a_thought_that_is_not_finished() -> None:
    world = World(config=session(silence_ms=300))
    async with world.live():
        await world.say("my number is")
        await pause(800)
        assert world.responder.requests == []
        await world.say("my number is" if world.listener.pending else "five five five")
        await world.until(lambda: world.responder.requests)
    assert world.responder.requests[0].text == "my number is five five five"


@virtual
async def test_it_asks_a_turn_model_where_one_is_given() -> None:
    world = World(config=session(silence_ms=300))
    world.options["turn_model"] = lambda text: 2000.0
    async with world.live():
        ended = await world.say("good morning")
        await world.until(lambda: world.responder.requests)
        assert now() - ended >= 2.299


@virtual
async def test_it_joins_what_was_said_with_short_pauses() -> None:
    world = World()
    async with world.live():
        await world.say("I would like")
        await pause(380)  # long enough for the recogniser to be asked, not for a turn
        await world.say("a table for two")
        await world.until(lambda: world.responder.requests)
    assert world.responder.requests[0].text == "I would like a table for two"


@virtual
async def test_a_recogniser_hears_speech_soon_and_silence_in_longer_pieces() -> None:
    world = World()
    async with world.live():
        await pause(2000)
        silent = list(world.listener.pieces)
        assert set(silent) == {1600}  # 200 ms
        pushed = world.activity.pushed
        assert pushed - 1600 < sum(silent) <= pushed
        saying = asyncio.ensure_future(world.say("good morning"))
        await pause(700)
        assert world.activity.pushed - world.listener.fed < 320  # 40 ms
        assert set(world.listener.pieces[-10:]) == {320}
        await saying
        await world.until(lambda: world.listener.finishes)
        assert world.listener.fed_at_finish == [world.activity.pushed]


@virtual
async def test_it_does_not_answer_a_noise() -> None:
    world = World()
    async with world.live():
        world.voice(200)
        await pause(3000)
        assert world.responder.requests == []
        await world.say("hello")
        await world.answered(1)


@virtual
async def test_it_says_that_it_did_not_understand_and_does_not_go_on_about_it() -> None:
    world = World()
    async with world.live():
        for _ in range(3):
            world.voice(900)
            await pause(8000)
        assert [turn.reply_text for turn in world.log.turns] == [phrases("en").pardon] * 2
        assert world.responder.requests == []
        await world.say("good morning")
        await world.answered(3)
        world.voice(900)
        await world.answered(4)
    assert world.log.turns[3].reply_text == phrases("en").pardon


@virtual
async def test_it_takes_words_that_were_too_soft_for_the_ear() -> None:
    world = World()
    async with world.live():
        world.listener.hear("can you hear me")
        await world.answered(1)
    assert world.log.turns[0].caller_text == "can you hear me"


@virtual
async def test_it_goes_on_with_the_partial_when_finals_never_come() -> None:
    world = World(config=session(silence_ms=300))
    world.listener.tail_ms = None
    async with world.live():
        ended = await world.say("good morning")
        await world.until(lambda: world.responder.requests)
        assert now() - ended <= 1.5
        world.listener._close_turn()  # the final of the turn that went on without it
        await world.answered(1)
        await pause(3000)
    assert [turn.caller_text for turn in world.log.turns] == ["good morning"]


@virtual
async def test_it_measures_every_stage_from_the_last_sound() -> None:
    world = World(config=session(silence_ms=200))
    world.responder.scripts = [[200.0, ReplyText("Good morning to you.")]]
    world.speaker.first_ms = 100
    async with world.live():
        await world.say("good morning")
        await world.answered(1)
    latencies = world.log.turns[0].latencies
    assert list(latencies) == ["stt_final", "first_token", "first_clause", "first_audio", "first_frame"]
    assert latencies["stt_final"] == pytest.approx(230, abs=5)
    assert latencies["first_token"] == pytest.approx(430, abs=5)
    assert latencies["first_audio"] == pytest.approx(530, abs=5)
    assert latencies["first_frame"] < 540


# ---- guesses ------------------------------------------------------------------------------------


@virtual
async def test_it_begins_to_answer_before_the_turn_is_over() -> None:
    world = World(config=session(speculate=True))
    world.responder.scripts = [[400.0, ReplyText("From nine to five.")]]
    async with world.live():
        ended = await world.say("when are you open")
        await world.until(lambda: world.responder.requests)
        assert now() - ended < 0.2
        assert world.responder.requests[0].speculative
        assert world.speaker.said == []
        await world.answered(1)
    [turn] = world.log.turns
    assert turn.speculative
    assert turn.latencies["first_audio"] < 560, "it was ready when the turn was"
    assert turn.latencies["first_frame"] >= 500, "and nothing was said before"
    assert world.responder.kept == [1]
    assert len(world.responder.requests) == 1
    assert len(world.log.of("turn.started")) == 1


@virtual
async def test_it_throws_a_guess_away_when_the_words_change() -> None:
    world = World(config=session(speculate=True, silence_ms=400))
    world.responder.scripts = [
        [100.0, ReplyText("Wrong."), 5000.0],
        [100.0, ReplyText("Right.")],
    ]
    async with world.live():
        await world.say("book a table")
        await pause(200)
        world.listener.hear("book a table tomorrow")
        await world.answered(1)
    assert world.speaker.said == ["Right."]
    assert world.responder.cancelled == ["book a table"]
    assert [request.text for request in world.responder.requests] == ["book a table", "book a table tomorrow"]
    assert {request.turn for request in world.responder.requests} == {1}


@virtual
async def test_it_guesses_three_times_a_turn_at_most() -> None:
    world = World(config=session(speculate=True, silence_ms=1000))
    world.responder.scripts = [[9000.0]] * 3
    async with world.live():
        await world.say("one", 300)
        for text in ("one two", "one two three", "one two three four", "one two three four five"):
            await pause(150)
            world.listener.hear(text)
        await world.answered(1)
    assert [request.speculative for request in world.responder.requests] == [True, True, True, False]
    assert world.responder.requests[-1].text == "one two three four five"
    assert len(world.responder.cancelled) == 3


@virtual
async def test_it_throws_a_guess_away_when_the_config_changes() -> None:
    world = World(config=session(speculate=True))
    world.responder.scripts = [[9000.0], [ReplyText("New.")]]
    async with world.live():
        await world.say("hello there")
        await world.until(lambda: world.responder.requests)
        world.change(goodbye="Bye.")
        await world.answered(1)
    assert world.responder.cancelled == ["hello there"]
    assert world.speaker.said == ["New."]
    assert world.log.turns[0].config_version == 2
    assert world.log.of("config.changed") == [{"version": 2, "from": 1}]


@virtual
async def test_it_does_not_guess_where_the_config_forbids_it_or_a_thought_is_open() -> None:
    world = World(config=session(speculate=True))
    async with world.live():
        await world.say("my name is", 600)
        await pause(300)
        assert world.responder.requests == []
        world.change(speculate=False)
        await world.answered(1)
    assert [request.speculative for request in world.responder.requests] == [False]


@virtual
async def test_it_fails_by_a_guess_only_when_the_guess_is_taken() -> None:
    world = World(config=session(speculate=True))
    world.responder.scripts = [[RuntimeError("a bug")], [ReplyText("Fine.")]]
    async with world.live():
        await world.say("hello there")
        await pause(150)
        world.listener.hear("hello there again")
        await world.answered(1)
    assert world.speaker.said == ["Fine."]
    assert world.log.of("error") == []


@virtual
async def test_a_guess_that_was_thrown_away_leaves_nothing_behind() -> None:
    world = World(config=session(speculate=True, silence_ms=400))
    world.responder.scripts = [[100.0, ReplyText("Wrong."), 5000.0], [100.0, ReplyText("Right.")]]
    async with world.live():
        with garbage("voice.") as left:
            await world.say("book a table")
            await pause(200)
            world.listener.hear("book a table tomorrow")
            await world.answered(1)
            await pause(100)
        assert not left, left
    assert world.responder.cancelled == ["book a table"]


# ---- fillers ------------------------------------------------------------------------------------


@virtual
async def test_it_bridges_a_long_wait_and_keeps_that_out_of_the_conversation() -> None:
    world = World(config=session(filler=("One moment.", "Let me see.")))
    world.responder.scripts = [[2500.0, ReplyText("It is ten."), 100.0]]
    async with world.live():
        await world.say("what time is it")
        await world.until(lambda: world.responder.requests)
        asked = now()
        await world.until(lambda: world.speaker.said)
        assert 0.65 <= now() - asked <= 0.8
        await world.answered(1)
        await world.say("and tomorrow")
        await world.answered(2)
    assert world.speaker.said[:2] == ["One moment.", "It is ten."]
    assert world.log.turns[0].heard_text == world.log.turns[0].reply_text == "It is ten."
    assert [line.text for line in world.responder.requests[1].history] == ["what time is it", "It is ten."]


@virtual
async def test_it_says_what_a_tool_wants_said_and_that_it_was_used() -> None:
    world = World(config=session(filler=("One moment.",)))
    world.responder.scripts = [[ToolUsed("find_order", "I am looking it up."), 900.0, ReplyText("Found it.")]]
    async with world.live():
        await world.say("where is my order")
        await world.answered(1)
    assert world.speaker.said == ["I am looking it up.", "Found it."]
    assert world.log.turns[0].reply_text == "Found it."
    assert world.log.of("tool.used") == [{"turn": 1, "tool": "find_order"}]


@virtual
async def test_it_says_no_filler_into_the_callers_words() -> None:
    world = World(config=session(filler=("One moment.",)))
    world.responder.scripts = [[3000.0, ReplyText("Yes.")]]
    async with world.live():
        await world.say("are you there")
        await world.until(lambda: world.responder.requests)
        await pause(500)
        world.voice(290)
        await pause(350)
        assert world.speaker.said == []
        await world.answered(1)
    assert world.speaker.said == ["One moment.", "Yes."]
