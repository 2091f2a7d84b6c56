"""A recogniser that is lost or late is replaced inside the turn, and no word is lost."""

import asyncio

import pytest

from agents.providers.errors import ChainUnavailable, Failure
from tests.fakes.virtual_time import virtual
from tests.unit.speech_world import ScriptedEar, SpeechWorld, Words, failure, now
from voice.connectors.types import SttOptions

F = Failure
VOCABULARY = ("apples", "bananas", "cherries", "dates", "elderberries")
SENTENCE = Words(apples=300, bananas=300, cherries=300, dates=300).audio
WHOLE = "apples bananas cherries dates"


def ears(*names: str) -> list[ScriptedEar]:
    return [ScriptedEar(name, VOCABULARY) for name in names or ("deepgram", "openai")]


@virtual
async def test_it_asks_one_service_while_all_is_well() -> None:
    world = SpeechWorld(*ears())
    caller = await world.listen()
    for turn in range(3):
        await caller.pause(1000)
        await caller.say(SENTENCE)
        await caller.pause(200)
        assert await caller.finish() == " ".join([WHOLE] * (turn + 1))
    assert caller.listener.connector == "deepgram"
    assert not world.ears["openai"].streams
    assert not world.observer.hedges
    await caller.hang_up()


@virtual
async def test_it_loses_no_word_when_the_service_dies_in_the_turn() -> None:
    for died_at in range(0, len(SENTENCE), 1600):
        first, second = ears()
        second.opens = 0.1
        world = SpeechWorld(first, second)
        caller = await world.listen()
        await caller.pause(500)
        await caller.say(SENTENCE[:died_at])
        first.streams[0].die()
        await caller.say(SENTENCE[died_at:])
        await caller.pause(200)
        assert await caller.finish() == WHOLE, died_at
        assert caller.listener.connector == "openai"
        assert first.streams[0].closed
        await caller.hang_up()


@virtual
async def test_it_says_no_word_twice_when_some_were_final_already() -> None:
    for tells_until in (True, False):
        first, second = ears()
        first.tells_until = tells_until
        world = SpeechWorld(first, second)
        caller = await world.listen()
        await caller.say(SENTENCE[:4800])
        first.streams[0].settle()
        await caller.say(SENTENCE[4800:7200])
        first.streams[0].die()
        await caller.say(SENTENCE[7200:])
        assert await caller.finish() == WHOLE
        await caller.hang_up()


@virtual
async def test_it_replays_faster_than_real_time() -> None:
    first, second = ears()
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.say(SENTENCE)
    first.streams[0].die()
    began = now()
    assert await caller.finish() == WHOLE
    assert now() - began < 0.05
    await caller.hang_up()


@virtual
async def test_it_finishes_a_turn_whose_service_dies_before_the_finals() -> None:
    first, second = ears()
    first.tail = 10.0
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.say(SENTENCE)
    asyncio.get_running_loop().call_later(0.1, first.streams[0].die)
    assert await caller.finish() == WHOLE
    assert second.streams[0].turns == 1
    await caller.hang_up()


@virtual
async def test_it_starts_a_backup_after_300_ms_of_speech_without_words() -> None:
    first, second = ears()
    first.deaf = True
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.pause(2000)
    began = now()
    await caller.say(SENTENCE)
    assert world.observer.hedges == [("stt", "deepgram", "openai", "late")]
    assert caller.times[0] - began == pytest.approx(0.3, abs=0.03)
    assert await caller.finish() == WHOLE
    assert first.streams[0].closed, "the loser was stopped"
    assert ("stt", "deepgram", F.DEADLINE) in world.observer.failures
    await caller.hang_up()


@virtual
async def test_it_keeps_the_first_one_if_that_answers_before_the_backup() -> None:
    first, second = ears()
    first.delay, second.opens = 0.3, 0.5
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.say(SENTENCE)
    assert await caller.finish() == WHOLE
    assert caller.listener.connector == "deepgram"
    assert len(world.observer.hedges) == 1
    assert not second.streams
    assert not world.observer.failures, "being late and first is no failure"
    await caller.hang_up()


@virtual
async def test_it_is_not_alarmed_by_a_cough() -> None:
    first, second = ears()
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.say(b"\x80" * 2000)
    await caller.pause(3000)
    assert not world.observer.hedges
    await caller.hang_up()


@virtual
async def test_it_starts_a_backup_when_the_finals_do_not_come() -> None:
    first, second = ears()
    first.tail = 30.0
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.say(SENTENCE)
    began = now()
    assert await caller.finish() == WHOLE
    assert now() - began == pytest.approx(0.3, abs=0.05)
    assert caller.listener.connector == "openai"
    await caller.hang_up()


@virtual
async def test_it_does_not_blame_a_service_for_a_turn_without_words() -> None:
    first, second = ears()
    first.tail = 0.6
    world = SpeechWorld(first, second)
    for _ in range(4):
        caller = await world.listen()
        await caller.say(b"\x80" * 1600)
        assert await caller.finish() == ""
        assert caller.listener.connector == "deepgram"
        await caller.hang_up()
    assert not world.observer.failures


@virtual
async def test_it_stays_with_the_one_that_answered() -> None:
    first, second = ears()
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.say(SENTENCE)
    first.streams[0].die()
    await caller.finish()
    await caller.say(SENTENCE)
    await caller.finish()
    assert len(first.streams) == 1
    second.streams[0].die()
    await caller.say(SENTENCE)
    assert await caller.finish() == " ".join([WHOLE] * 3)
    assert len(first.streams) == 2, "and comes back when that one is lost"
    await caller.hang_up()


@virtual
async def test_it_waits_for_a_service_that_works_at_the_turns_end() -> None:
    local = ScriptedEar("local", VOCABULARY, partials=False)
    local.tail, local.expected_ms = 0.5, 600
    world = SpeechWorld(local)
    caller = await world.listen()
    await caller.say(SENTENCE)
    assert await caller.finish() == WHOLE
    assert not world.observer.hedges
    await caller.hang_up()


@virtual
async def test_it_lets_no_echo_before_the_turn_be_a_part_of_it() -> None:
    local = ScriptedEar("local", VOCABULARY, partials=False)
    world = SpeechWorld(local)
    caller = await world.listen()
    echo = Words(elderberries=400).audio
    for said in (WHOLE, f"{WHOLE} {WHOLE}"):
        for start in range(0, len(echo), 160):
            caller.listener.feed(echo[start : start + 160])  # and nobody is heard to speak
        await caller.pause(1000)
        await caller.say(SENTENCE[:4800])
        caller.listener.speech_ended()  # a breath
        await caller.pause(300)
        await caller.say(SENTENCE[4800:])
        assert await caller.finish() == said
    await caller.hang_up()


@virtual
async def test_it_falls_back_to_one_that_works_at_the_turns_end() -> None:
    (first,) = ears("deepgram")
    local = ScriptedEar("local", VOCABULARY, partials=False)
    world = SpeechWorld(first, local)
    caller = await world.listen("deepgram", "local")
    await caller.say(SENTENCE[:4800])
    first.streams[0].die()
    await caller.say(SENTENCE[4800:])
    assert await caller.finish() == WHOLE
    assert caller.listener.connector == "local"
    await caller.hang_up()


@virtual
async def test_it_tries_an_only_service_again() -> None:
    (only,) = ears("deepgram")
    world = SpeechWorld(only)
    caller = await world.listen()
    await caller.say(SENTENCE[:4800])
    only.refuses = [failure(F.CONNECTION, "deepgram")]
    only.streams[0].die()
    await caller.say(SENTENCE[4800:])
    assert await caller.finish() == WHOLE
    assert len(only.streams) == 2
    await caller.hang_up()


@virtual
async def test_it_raises_when_nobody_is_left() -> None:
    first, second = ears()
    for ear in (first, second):
        ear.refuses = [failure(F.SERVER_ERROR, ear.name)] * 9
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.task
    assert isinstance(caller.error, ChainUnavailable)
    assert caller.error.category is F.SERVER_ERROR
    await caller.hang_up()


@virtual
async def test_it_raises_a_bad_key_as_such() -> None:
    (only,) = ears("deepgram")
    only.refuses = [failure(F.AUTHENTICATION, "deepgram")] * 9
    world = SpeechWorld(only)
    caller = await world.listen()
    await caller.task
    assert caller.error is not None
    assert caller.error.category is F.AUTHENTICATION
    assert len(only.refuses) == 8, "asked once"


@virtual
async def test_it_keeps_what_is_said_before_the_first_connection() -> None:
    (only,) = ears("deepgram")
    only.opens = 0.9
    world = SpeechWorld(only)
    caller = await world.listen()
    await caller.say(SENTENCE)
    assert await caller.finish() == WHOLE
    await caller.hang_up()


@virtual
async def test_it_closes_a_turn_that_nobody_answers_with_the_words_in_hand() -> None:
    (only,) = ears("deepgram")
    only.tail = 60.0
    world = SpeechWorld(only)
    caller = await world.listen()
    await caller.say(SENTENCE)
    assert await caller.finish() == WHOLE
    await caller.hang_up()


@virtual
async def test_it_answers_each_end_of_a_turn_once() -> None:
    first, second = ears()
    first.tail = 0.2
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.say(SENTENCE)
    caller.listener.finish_turn()
    await caller.say(Words(elderberries=300).audio)
    caller.listener.finish_turn()
    await asyncio.sleep(2)
    assert [item.closes for item in caller.heard if item.final] == [True, True]
    assert caller.text == WHOLE + " elderberries"
    await caller.hang_up()


@virtual
async def test_it_stays_small_while_nobody_speaks() -> None:
    (only,) = ears("deepgram")
    world = SpeechWorld(only)
    caller = await world.listen()
    await caller.pause(60_000)
    only.streams[0].die()
    await caller.pause(400)
    assert len(only.streams[1].audio) <= 8 * 4500
    await caller.hang_up()


@virtual
async def test_it_learns_the_pace_of_a_slow_service() -> None:
    first, second = ears()
    first.delay = 0.35
    world = SpeechWorld(first, second)
    for _ in range(3):
        caller = await world.listen()
        await caller.say(SENTENCE)
        await caller.finish()
        await caller.hang_up()
    assert caller.listener.connector == "deepgram"
    assert len(world.observer.hedges) <= 2


@virtual
async def test_it_counts_what_each_service_heard() -> None:
    first, second = ears()
    world = SpeechWorld(first, second)
    caller = await world.listen()
    await caller.say(SENTENCE)
    first.streams[0].die()
    await caller.finish()
    used = {use.connector: use for use in caller.listener.use()}
    assert used["deepgram"].seconds == pytest.approx(1.2)
    assert used["openai"].seconds == pytest.approx(1.2)
    assert used["deepgram"].cost == pytest.approx(1.2 / 60 * 0.0077)
    assert all(use.kind == "stt" for use in used.values())
    await caller.hang_up()


@virtual
async def test_it_leaves_nothing_behind() -> None:
    for ending in ("at once", "racing", "waiting"):
        first, second = ears()
        first.deaf = second.deaf = True
        first.opens = 0.5 if ending == "at once" else 0.0
        world = SpeechWorld(first, second)
        before = asyncio.all_tasks()
        caller = await world.listen()
        if ending != "at once":
            await caller.say(SENTENCE)
        if ending == "waiting":
            caller.listener.finish_turn()
        await caller.hang_up()
        await caller.hang_up()
        assert asyncio.all_tasks() == before
        assert all(stream.closed for ear in (first, second) for stream in ear.streams)


@virtual
async def test_it_tells_each_service_its_own_options() -> None:
    first, second = ears()
    world = SpeechWorld(first, second)
    extra = {"model": "nova-2", "prompt": "x", "openai": {"model": "gpt-transcribe"}}
    caller = await world.listen(options=SttOptions(extra=extra))
    await caller.say(SENTENCE)
    first.streams[0].die()
    await caller.finish()
    assert first.options[0].extra == {"model": "nova-2", "prompt": "x"}
    assert second.options[0].extra == {"model": "gpt-transcribe", "prompt": "x"}
    await caller.hang_up()
