"""What happens in a call besides talking: keys, transfers, results, silence, the clock, a new config."""

from dataclasses import replace

from tests.fakes.virtual_time import virtual
from tests.unit.call_world import (
    FLOW,
    ScriptedLine,
    ScriptedListener,
    ScriptedSpeaker,
    World,
    broken,
    now,
    pause,
    session,
)
from voice.config import Connector, Edge, SessionConfig
from voice.connectors.types import Transcript
from voice.pipeline.ports import ReplyAction, ReplyText

# ---- keys ---------------------------------------------------------------------------------------


@virtual
async def test_it_takes_keys_up_to_the_hash_for_a_turn() -> None:
    world = World()
    async with world.live() as call:
        for key in "1234#":
            call.digit(key)
            await pause(100)
        await world.answered(1)
    assert world.responder.requests[0].text == "1234"
    assert world.log.of("dtmf.received") == [{"digits": "1234"}]


@virtual
async def test_it_takes_keys_after_a_pause_and_does_not_log_them_where_data_is_redacted() -> None:
    world = World(config=session(dtmf_timeout_ms=1000, redact=True))
    async with world.live() as call:
        call.digit("4")
        await pause(900)
        call.digit("2")
        await pause(900)
        assert world.responder.requests == []
        await world.answered(1)
    assert world.responder.requests[0].text == "42"
    assert world.log.of("dtmf.received") == [{"count": 2}]


@virtual
async def test_it_stops_talking_when_a_key_is_pressed() -> None:
    world = World(config=session(greeting="Press one for sales, two for service, three for a person."))
    async with world.live() as call:
        await pause(600)
        call.digit("2")
        await pause(50)
        assert len(world.transport.clears) == 1
        await world.answered(2)
    assert world.log.turns[0].interrupted
    assert world.responder.requests[0].text == "2"


@virtual
async def test_it_sends_keys_in_their_place_between_the_words() -> None:
    world = World()
    world.responder.scripts = [[ReplyText("Dialling. "), ReplyAction("send_digits", {"digits": "12"})]]
    async with world.live():
        await world.say("dial the extension")
        await world.answered(1)
    audio = sum(len(audio) for _, audio in world.transport.sent)
    assert audio >= 8 * (50 * len("Dialling. ") + 2 * 200)
    assert world.log.of("dtmf.sent") == [{"turn": 1, "count": 2}]


# ---- the line -----------------------------------------------------------------------------------


@virtual
async def test_it_speaks_first_and_transfers_then() -> None:
    world = World()
    action = ReplyAction("transfer", {"to": "+15005550006", "mode": "warm", "summary": "wants a refund"})
    world.responder.scripts = [[action, ReplyText("I put you through.")]]
    async with world.live():
        await world.say("a person please")
        await world.until(lambda: world.transport.playing)
        assert world.line is not None
        assert world.line.transfers == []
        await world.running
        assert not world.transport.playing
    assert world.line.transfers == [("+15005550006", "warm", "wants a refund")]
    assert world.line.hung_up == 0
    assert world.summary.reason == "transferred"
    assert world.log.turns[0].heard_text == "I put you through."


@virtual
async def test_it_tells_the_agent_why_a_transfer_failed() -> None:
    for line in (ScriptedLine(refuses="nobody answers there"), None):
        world = World(line=line)
        world.responder.scripts = [
            [ReplyText("One moment."), ReplyAction("transfer", {"to": "+15005550006"})],
            [ReplyText("Nobody is there just now.")],
        ]
        async with world.live():
            await world.say("a person please")
            await world.answered(2)
        note = world.responder.requests[1]
        assert note.note
        assert "nobody answers there" in note.text or "cannot be transferred" in note.text
        assert world.log.turns[1].heard_text == "Nobody is there just now."
        assert world.summary.reason == "caller_hung_up"


@virtual
async def test_it_does_not_transfer_whom_the_agent_could_not_tell() -> None:
    world = World()
    farewell = "I will put you through to a colleague now, please stay on the line."
    world.responder.scripts = [[ReplyText(farewell), ReplyAction("transfer", {"to": "+15005550006"})]]
    async with world.live():
        await world.say("a person please")
        await world.until(lambda: world.transport.playing)
        await pause(500)
        await world.say("no wait a moment", 700)
        await world.answered(2)
    assert world.line is not None
    assert world.line.transfers == []


@virtual
async def test_it_hangs_up_when_the_agent_wants_to_and_says_goodbye() -> None:
    world = World(config=session(goodbye="Goodbye then."))
    world.responder.scripts = [[ReplyAction("hang_up", {"reason": "done"})]]
    async with world.live():
        await world.say("that is all")
        await world.running
        assert not world.transport.playing
    assert world.speaker.said == ["Goodbye then."]
    assert world.line is not None
    assert world.line.hung_up == 1
    assert world.summary.reason == "agent_hung_up"


# ---- what comes unasked -------------------------------------------------------------------------


@virtual
async def test_it_tells_a_result_when_nobody_speaks() -> None:
    world = World()
    async with world.live():
        world.voice(1500)
        await pause(500)
        world.responder.news.put_nowait("The report is ready: 12 pages.")
        await pause(900)
        assert world.responder.requests == []
        world.listener.hear("how are you")
        await world.answered(2)
    first, second = world.responder.requests
    assert first.text == "how are you"
    assert (second.text, second.note) == ("The report is ready: 12 pages.", True)
    assert world.log.turns[1].note
    assert world.log.turns[1].caller_text == ""
    assert len(world.log.of("announcement.spoken")) == 1


@virtual
async def test_it_asks_once_whether_somebody_is_there_and_then_hangs_up() -> None:
    world = World(config=session(idle_seconds=10))
    async with world.live():
        await world.running
        assert 20 <= now() - 1000 <= 26
    assert world.speaker.said == ["Are you still there?", "Goodbye."]
    assert world.summary.reason == "idle"


@virtual
async def test_it_asks_anew_when_somebody_was_there() -> None:
    world = World(config=session(idle_seconds=10))
    async with world.live():
        await world.answered(1)
        await world.say("sorry I was away")
        await world.running
    assert world.speaker.said.count("Are you still there?") == 2


@virtual
async def test_it_ends_a_call_that_lasts_too_long_with_a_goodbye() -> None:
    world = World(config=session(max_call_seconds=30, goodbye="Our time is up."))
    world.responder.scripts = [[ReplyText("word " * 600)]]
    async with world.live():
        await world.say("tell me everything")
        await world.running
        assert 30 <= now() - 1000 <= 33
    assert world.speaker.said[-1] == "Our time is up."
    assert world.log.turns[-1].heard_text == "Our time is up."
    assert world.summary.reason == "max_duration"


# ---- the config ---------------------------------------------------------------------------------


class Shout:
    name = "shout"

    async def transform(self, text: str) -> str:
        await pause(5)
        return text.upper()


class Numbered:
    name = "numbered"

    async def transform(self, text: str) -> str:
        return f"<{text.strip()}>"


@virtual
async def test_it_sends_words_through_the_stages_of_the_flow() -> None:
    flow = (
        Edge("transport", "stt", "audio"),
        Edge("stt", "shout", "text"),
        Edge("shout", "llm", "text"),
        Edge("llm", "numbered", "text"),
        Edge("numbered", "tts", "text"),
        Edge("tts", "transport", "audio"),
    )
    world = World(config=replace(session(), flow=flow), stages={"shout": Shout(), "numbered": Numbered()})
    world.responder.scripts = [[ReplyText("First one here. And then the second sentence.")]]
    async with world.live():
        await world.say("hello there")
        await world.answered(1)
        await world.say("and again")
        await world.answered(2)
    assert world.responder.requests[0].text == "HELLO THERE"
    assert "".join(world.speaker.said[:2]).split() == [
        "<First",
        "one",
        "here.>",
        "<And",
        "then",
        "the",
        "second",
        "sentence.>",
    ]
    assert world.log.turns[0].caller_text == "hello there"
    history = [line.text for line in world.responder.requests[1].history]
    assert history == ["HELLO THERE", "First one here. And then the second sentence."]


@virtual
async def test_it_takes_a_stage_that_was_added_in_mid_call() -> None:
    world = World(stages={"shout": Shout()})
    async with world.live():
        await world.say("hello there")
        await world.answered(1)
        flow = (FLOW[0], Edge("stt", "shout", "text"), Edge("shout", "llm", "text"), *FLOW[2:])
        world.config = replace(world.config, flow=flow, version=2)
        await world.say("hello again")
        await world.answered(2)
    assert [request.text for request in world.responder.requests] == ["hello there", "HELLO AGAIN"]


@virtual
async def test_it_guesses_by_the_stages_of_the_new_config() -> None:
    world = World(config=session(speculate=True), stages={"shout": Shout()})
    async with world.live():
        await world.say("hello there")
        await world.answered(1)
        flow = (FLOW[0], Edge("stt", "shout", "text"), Edge("shout", "llm", "text"), *FLOW[2:])
        world.config = replace(world.config, flow=flow, version=2)
        await world.say("hello again")
        await world.answered(2)
    assert [request.text for request in world.responder.requests] == ["hello there", "HELLO AGAIN"]
    assert world.log.turns[1].speculative


@virtual
async def test_it_takes_turns_by_the_new_config_from_the_next_one_on() -> None:
    world = World(config=session(silence_ms=1500))
    async with world.live():
        await world.say("hello there")
        await world.answered(1)
        world.change(silence_ms=200)
        ended = await world.say("hello again")
        await world.until(lambda: len(world.responder.requests) == 2)
        assert now() - ended < 0.4


@virtual
async def test_it_speaks_by_another_voice_from_the_turn_after_a_change() -> None:
    world = World()
    async with world.live():
        await world.say("hello there")
        await world.answered(1)
        first, world.speaker = world.speaker, ScriptedSpeaker()
        connectors = {**world.config.connectors, "tts": Connector("local")}
        world.config = replace(world.config, connectors=connectors, version=2)
        await world.say("hello again")
        await world.answered(2)
        assert first.closed == 1
    assert first.said == ["You said hello there."]
    assert world.speaker.said == ["You said hello again."]
    assert sum(use.characters for use in world.summary.use if use.kind == "tts") == 42


@virtual
async def test_it_listens_by_another_service_from_the_turn_after_a_change() -> None:
    world = World()
    async with world.live():
        await world.say("hello there")
        await world.answered(1)
        first, world.listener = world.listener, ScriptedListener()
        connectors = {**world.config.connectors, "stt": Connector("local")}
        world.config = replace(world.config, connectors=connectors, version=2)
        first.tell(Transcript("second question", final=True))
        await world.answered(2)
        assert first.closed == 1
        await world.say("third question")
        await world.answered(3)
    assert [config.version for config in world.opened] == [1, 2]
    assert world.log.turns[2].caller_text == "third question"
    assert world.summary.use[0].seconds > 0


@virtual
async def test_it_writes_down_how_it_was_heard_and_how_late_its_own_clock_was() -> None:
    world = World()
    async with world.live():
        await world.say("hello there")
        await world.answered(1)
        assert world.call is not None
        for _ in range(40):
            world.call.network(loss=0.2, round_trip_ms=90)
    statistics = world.summary.statistics
    assert round(statistics["reported_loss"], 3) == 0.2
    assert statistics["round_trip_ms"] == 90
    assert statistics["worst_lag_ms"] == 0  # by a virtual clock


# ---- what breaks --------------------------------------------------------------------------------


@virtual
async def test_it_apologises_when_nobody_can_answer_and_goes_on() -> None:
    world = World(config=replace(session(), language="de-DE"))
    world.responder.scripts = [[broken("all models are down")]]
    async with world.live():
        await world.say("hallo")
        await world.answered(1)
        await world.say("noch einmal")
        await world.answered(2)
    assert world.speaker.said[0].startswith("Es tut mir leid")
    assert world.log.turns[0].error == "all models are down"
    assert world.log.of("error")[0]["stage"] == "llm"
    assert world.log.turns[1].error == ""


@virtual
async def test_it_ends_cleanly_when_no_voice_is_left() -> None:
    world = World()
    world.speaker.fail = broken("no voice")
    async with world.live():
        await world.say("hello there")
        await world.running
    assert world.summary.reason == "failed"
    assert world.summary.error == "no voice"
    assert world.log.of("error")[0]["stage"] == "tts"
    assert world.log.turns[0].error == "no voice"


@virtual
async def test_it_opens_a_lost_recogniser_again_and_loses_no_word() -> None:
    world = World()
    async with world.live():
        first, world.listener = world.listener, ScriptedListener()
        world.voice(900)
        await pause(400)
        first.tell(broken("gone"))
        await pause(300)
        world.listener.hear("good morning")
        await world.answered(1)
    assert world.log.turns[0].caller_text == "good morning"
    assert len(world.opened) == 2
    assert world.log.of("error") == []


@virtual
async def test_it_says_so_and_ends_when_no_recogniser_is_left() -> None:
    world = World()
    async with world.live():
        world.refuse_listener = broken("deaf")
        world.listener.tell(broken("gone"))
        await world.running
    assert world.speaker.said == ["I'm sorry, we have a technical problem. Please call again later."]
    assert world.summary.reason == "failed"


@virtual
async def test_it_tells_when_another_service_has_taken_over() -> None:
    world = World()
    async with world.live():
        world.listener.connector = "openai"
        world.speaker.connector = "azure"
        await world.say("hello there")
        await world.answered(1)
        await world.say("hello again")
        await world.answered(2)
    assert world.log.of("stt.fallback") == [{"from": "deepgram", "to": "openai"}]
    assert world.log.of("tts.fallback") == [{"turn": 1, "from": "elevenlabs", "to": "azure"}]
    assert (world.log.turns[0].stt, world.log.turns[0].tts) == ("openai", "azure")


@virtual
async def test_it_takes_no_service_without_a_key_for_one_that_failed() -> None:
    world = World()
    world.listener.connectors = world.speaker.connectors = ("local",)
    world.listener.connector = world.speaker.connector = "local"
    async with world.live():
        await world.say("hello there")
        await world.answered(1)
    assert world.log.of("call.services") == [{"stt": ["local"], "tts": ["local"]}]
    assert world.log.of("stt.fallback") == world.log.of("tts.fallback") == []


@virtual
async def test_it_keeps_what_was_said_before_the_recogniser_was_there() -> None:
    world = World()
    opened = world.open_listener

    async def slowly(config: SessionConfig) -> ScriptedListener:
        await pause(1000)
        return await opened(config)

    world.open_listener = slowly  # type: ignore[method-assign]
    async with world.live():
        await pause(1200)
        assert world.listener.fed >= 8 * 1150


@virtual
async def test_it_asks_the_next_recogniser_for_what_the_lost_one_owed() -> None:
    world = World()
    world.listener.tail_ms = None
    async with world.live():
        first, world.listener = world.listener, ScriptedListener()
        await world.say("good", 600)
        await world.until(lambda: first.finishes)
        first.tell(broken("gone"))
        await pause(20)
        world.listener.hear("good morning", partial=False)
        await world.answered(1)
    assert world.log.turns[0].caller_text == "good morning"
