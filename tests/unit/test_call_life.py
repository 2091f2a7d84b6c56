"""A call from its first frame to its last."""

from tests.fakes.virtual_time import virtual
from tests.unit.call_world import World, pause, session


@virtual
async def test_it_greets_answers_and_ends() -> None:
    world = World(config=session(greeting="Hello, this is Ada."))
    async with world.live():
        await world.answered(1)
        await world.say("what are your opening hours")
        await world.answered(2)
    assert world.speaker.said == ["Hello, this is Ada.", "You said what are your opening hours."]
    greeting, turn = world.log.turns
    assert (greeting.caller_text, greeting.heard_text) == ("", "Hello, this is Ada.")
    assert turn.caller_text == "what are your opening hours"
    assert turn.heard_text == turn.reply_text == "You said what are your opening hours."
    assert (turn.model, turn.cost, turn.tts, turn.stt) == ("scripted", 0.01, "elevenlabs", "deepgram")
    [request] = world.responder.requests
    assert [(line.role, line.text) for line in request.history] == [("agent", "Hello, this is Ada.")]
    assert world.summary.reason == "caller_hung_up"
    assert world.summary.turns == 2
    names = [name for name, _ in world.log.events]
    assert names[0] == "call.started"
    assert names[-1] == "call.ended"


@virtual
async def test_it_frees_everything_when_nothing_was_said() -> None:
    world = World()
    async with world.live():
        await pause(100)
    assert world.log.turns == []
    assert world.summary.reason == "caller_hung_up"
