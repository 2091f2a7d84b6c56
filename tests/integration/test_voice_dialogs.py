"""Scripted dialogs through the real processes: a published workflow leads a simulated caller by voice and by keys."""

import itertools
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.caller import clips
from tests.fakes.caller.person import Person
from tests.fakes.caller.report import Report
from tests.fakes.caller.timer import now
from tests.fakes.twilio_rest import RestCall, TwilioRest
from tests.fakes.vendor_script import Reply
from tests.fakes.voice_world import AUTH_TOKEN, VENDORS, VoiceWorld, free_ports, until, voice_world
from tests.integration.dialog_world import appointment, choice, node
from tests.integration.workflow_world import graph

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SHORT = "It should reach you on Thursday."
WELCOME = "Welcome to the practice."
TOPIC = "Is it about an appointment or an order?"
DAY = "Monday or Thursday?"
NAME = "What is your name?"
SURE = "is that right?"
COLLEAGUE = "Now my colleague."


@dataclass
class Lines:
    """The running service and its carrier's account; workflows are published and given a number."""

    world: VoiceWorld
    twilio: TwilioRest
    numbers: Iterator[int]

    async def published(self, body: Mapping[str, Any]) -> str:
        made = await self.world.ask(
            "POST", "/api/workflows", {"name": f"Dialog {next(self.numbers)}", "graph": body}
        )
        await self.world.ask("POST", f"/api/workflows/{made['id']}/publish", {})
        id_: str = made["id"]
        return id_

    async def number(
        self, body: Mapping[str, Any], turn: Mapping[str, Any] | None = None, **dialog: Any
    ) -> str:
        workflow = await self.published(body)
        config = {
            **VENDORS,
            "turn": {**VENDORS["turn"], "dtmf_timeout_ms": 600, **(turn or {})},
            "dialog": {"workflow_id": workflow, **dialog},
        }
        return await self.world.number(config)

    def person(self, to: str) -> Person:
        person = self.world.person(to)
        sid = person.report.call_sid
        self.twilio.calls[sid] = RestCall(sid, to, person.report.caller, {}, status="in-progress")
        return person

    async def run_of(self, call: Mapping[str, Any], *statuses: str) -> dict[str, Any]:
        """The run that led a call, when it has one of these statuses."""

        def look() -> Any:
            return self.world.service.ask("GET", f"/api/runs/{call['run_id']}")

        found: dict[str, Any] = await until(look, lambda run: run["status"] in statuses, 20)
        return found

    async def events_of(self, call: Mapping[str, Any]) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = await self.world.ask(
            "GET", f"/api/voice/calls/{call['id']}/events?limit=500"
        )
        return events


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Lines]:
    async with TwilioRest(AUTH_TOKEN) as twilio:
        account = {"TWILIO_ACCOUNT_SID": twilio.account_sid, "TWILIO_BASE_URL": twilio.url}
        async with voice_world(free_ports(2), reply=SHORT, environment=account) as world:
            yield Lines(world, twilio, itertools.count(1))
            print(world.log())


@pytest_asyncio.fixture(loop_scope="module")
async def lines(running: Lines) -> AsyncIterator[Lines]:
    yield running
    world = running.world
    for vendor in world.vendors.everything:
        vendor.reset()
    world.vendors.anthropic.latency = 0.0
    world.vendors.anthropic.always = Reply(text=SHORT)
    await world.settled()


async def hears(caller: Person, text: str, times: int = 1) -> None:
    """Wait until this has been said so often, and a moment more."""

    def heard() -> bool:
        caller.ear.settle(now())  # nothing comes after the last word that would do so
        return " ".join(word.text for word in caller.ear.words()).count(text) >= times

    await caller._until(heard, 30)
    await caller.wait(0.3)


def nodes(run: Mapping[str, Any]) -> dict[str, Any]:
    """What came of each node that succeeded."""
    return {
        step["key"]: step["output"] for step in run["steps"] if step["status"] in ("completed", "succeeded")
    }


# --- the whole way -------------------------------------------------------------------------------------


async def test_it_leads_a_caller_by_voice_and_ends_with_the_agent(lines: Lines) -> None:
    to = await lines.number(appointment())

    async def script(caller: Person) -> None:
        await hears(caller, TOPIC)
        await caller.say("I need an appointment please")
        await hears(caller, DAY)
        await caller.say("thursday would be good")
        await hears(caller, NAME)
        await caller.say("my name is Ann Example")
        await hears(caller, SURE)
        await caller.say("yes")
        await hears(caller, COLLEAGUE)
        await caller.ask("when will my parcel arrive")

    report = await lines.person(to).call(script)
    assert not report.gave_up, report.heard
    said = (WELCOME, TOPIC, DAY, NAME, SURE, "It is booked for thursday.", COLLEAGUE, SHORT)
    places = [report.heard.find(prompt) for prompt in said]
    assert -1 not in places, report.heard
    assert places == sorted(places)
    call = await lines.world.detail(report)
    run = await lines.run_of(call, "completed")
    assert (run["source"], run["input"]["call_id"], run["input"]["to"]) == ("call", call["id"], to)
    told = nodes(run)
    topic = told["topic"]
    assert topic["matched"]
    assert (topic["text"], topic["choice"]) == ("I need an appointment please", "appointment")
    assert (told["day"]["choice"], told["name"]["text"]) == ("thursday", "my name is Ann Example")
    assert told["booked"] == {"heard": "It is booked for thursday.", "interrupted": False}
    assert told["agent"] == {"to": "agent"}
    answers = [line["text"] for line in call["transcript"] if line["role"] == "caller"]
    assert answers == [
        "I need an appointment please",
        "thursday would be good",
        "my name is Ann Example",
        "yes",
        "when will my parcel arrive",
    ]
    request = str(lines.world.vendors.anthropic.calls[-1].body)
    assert "my name is Ann Example comes on thursday." in request  # the brief
    types = [event["type"] for event in await lines.events_of(call)]
    assert types.count("dialog.answered") == 7
    assert {"run.started", "step.completed", "run.completed", "turn.completed", "call.ended"} <= set(types)


async def test_it_leads_a_caller_by_keys(lines: Lines) -> None:
    to = await lines.number(appointment())

    async def script(caller: Person) -> None:
        await hears(caller, TOPIC)
        await caller.press("1")
        await hears(caller, DAY)
        await caller.press("2")
        await hears(caller, NAME)
        await caller.press("263#")
        await hears(caller, SURE)
        await caller.press("1")
        await hears(caller, COLLEAGUE)
        await caller.ask("when will my parcel arrive")

    report = await lines.person(to).call(script)
    assert report.heard.endswith(f"{COLLEAGUE} {SHORT}")
    call = await lines.world.detail(report)
    told = nodes(await lines.run_of(call, "completed"))
    assert [told[name]["choice"] for name in ("topic", "day", "sure")] == ["appointment", "thursday", "yes"]
    assert [told[name]["digits"] for name in ("topic", "day", "name", "sure")] == ["1", "2", "263", "1"]


async def test_digits_end_by_themselves_and_the_agent_speaks_first_where_nothing_was_said(
    lines: Lines,
) -> None:
    to = await lines.number(appointment(), turn={"dtmf_timeout_ms": 20_000})

    async def script(caller: Person) -> None:
        await hears(caller, TOPIC)
        await caller.press("2")
        await hears(caller, "order number.")
        await caller.press("4711")
        await hears(caller, SHORT)

    report = await lines.person(to).call(script)
    assert f"Order 4711 is on its way. {SHORT}" in report.heard
    call = await lines.world.detail(report)
    assert nodes(await lines.run_of(call, "completed"))["order"]["digits"] == "4711"


# --- what goes wrong between people -------------------------------------------------------------------------


async def test_it_asks_again_and_then_goes_another_way(lines: Lines) -> None:
    to = await lines.number(appointment())

    async def script(caller: Person) -> None:
        await hears(caller, TOPIC)
        await caller.say("the weather is nice")
        await hears(caller, f"That I did not understand. {TOPIC}")
        await hears(caller, "I connect you.")  # and says nothing
        await caller.hung_up_on()

    person = lines.person(to)
    report = await person.call(script)
    call = await lines.world.detail(report)
    assert call["end_reason"] == "transferred"
    [twiml] = lines.twilio.calls[report.call_sid].twiml
    assert "<Number>+15005550099</Number>" in twiml
    told = nodes(await lines.run_of(call, "completed"))
    assert (told["topic"]["matched"], told["topic"]["attempts"]) == (False, 2)
    assert told["person"] == {"to": "person", "target": "+15005550099"}


async def test_it_says_that_it_heard_nothing(lines: Lines) -> None:
    to = await lines.number(appointment())

    async def script(caller: Person) -> None:
        await hears(caller, f"I cannot hear you. {TOPIC}")
        await caller.say("an order")
        await hears(caller, "order number.")

    report = await lines.person(to).call(script)
    assert report.heard.endswith("Please key in your order number.")
    call = await lines.world.detail(report)
    told = nodes(await lines.run_of(call, "cancelled", "canceled"))
    assert (told["topic"]["choice"], told["topic"]["attempts"]) == ("order", 2)


async def test_an_answer_may_interrupt_its_question_and_a_cough_does_not(lines: Lines) -> None:
    long = "Please listen carefully to all that I have to say about our many services before you choose sales or help."
    body = graph(
        "start-which",
        "which-told",
        "told-end",
        which=node("ask", text=long, choices=[choice("sales"), choice("help")]),
        told=node("say", text="So it is {{ nodes.which.output.choice }}.", interruptible=False),
    )
    to = await lines.number(body)

    async def script(caller: Person) -> None:
        await caller.hears(800)
        await caller.make_noise(clips.cough())
        await caller.hears(800)
        await caller.interrupt_now("sales")
        await caller.hung_up_on()

    report = await lines.person(to).call(script)
    assert report.clears == 1
    assert report.heard.endswith("So it is sales.")
    assert "before you choose" not in report.heard
    call = await lines.world.detail(report)
    assert (call["end_reason"], call["interruptions"]) == ("dialog_ended", 1)
    run = await lines.run_of(call, "completed")
    assert nodes(run)["told"] == {"heard": "So it is sales.", "interrupted": False}


async def test_what_is_said_too_early_is_the_answer_to_the_next_question(lines: Lines) -> None:
    body = graph(
        "start-hello",
        "hello-which",
        "which-told",
        "told-end",
        hello=node(
            "say", text="Hello and welcome to our house, which has been here for a hundred years and more."
        ),
        which=node("ask", text="Sales or help?", choices=[choice("sales"), choice("help")]),
        told=node("say", text="So it is {{ nodes.which.output.choice }}."),
    )
    to = await lines.number(body)

    async def script(caller: Person) -> None:
        await caller.hears(700)
        await caller.interrupt_now("I want help please")
        await caller.hung_up_on()

    report = await lines.person(to).call(script)
    assert report.heard.endswith("So it is help.")
    assert "Sales or help?" not in report.heard
    call = await lines.world.detail(report)
    told = nodes(await lines.run_of(call, "completed"))
    assert told["hello"]["interrupted"]
    assert told["which"]["attempts"] == 0


# --- the end ------------------------------------------------------------------------------------------------


async def test_a_caller_who_hangs_up_ends_the_run(lines: Lines) -> None:
    to = await lines.number(appointment())

    async def script(caller: Person) -> None:
        await hears(caller, TOPIC)
        await caller.say("an appointment")
        await caller.hears(200)

    call = await lines.world.detail(await lines.person(to).call(script))
    run = await lines.run_of(call, "cancelled", "canceled")
    assert run["error"]["detail"] == "caller_left", run["error"]
    assert "run.cancelled" in [event["type"] for event in await lines.events_of(call)]


async def test_a_run_that_is_cancelled_lets_go_of_the_caller_at_once(lines: Lines) -> None:
    body = graph("start-what", "what-end", what=node("ask", text="What is it about?", wait_seconds=60))
    to = await lines.number(body, on_failure="hang_up")

    async def script(caller: Person) -> None:
        await hears(caller, "What is it about?")
        [run] = await lines.world.ask("GET", "/api/runs?source=call&limit=1")
        await lines.world.ask("POST", f"/api/runs/{run['id']}/cancel", {"reason": "Not now."})
        await caller.hung_up_on()

    report = await lines.person(to).call(script)
    assert report.heard.endswith("Please call again later.")
    call = await lines.world.detail(report)
    assert call["end_reason"] == "failed"


async def test_a_dialog_that_breaks_off_is_taken_over_by_the_agent(lines: Lines) -> None:
    body = graph(
        "start-what",
        "what-bad",
        "bad-end",
        what=node("ask", text="What is it about?"),
        bad=node("say", text="{{ 1 / 0 }}"),
    )
    to = await lines.number(body)

    async def script(caller: Person) -> None:
        await hears(caller, "What is it about?")
        await caller.say("a refund")
        await hears(caller, SHORT)
        await caller.ask("when will my parcel arrive")

    report = await lines.person(to).call(script)
    assert f"I'm sorry, something went wrong. {SHORT} {SHORT}" in report.heard
    call = await lines.world.detail(report)
    assert (await lines.run_of(call, "failed"))["error"]["code"] == "expression_error"


async def test_a_person_who_cannot_be_reached_is_an_error_that_the_dialog_may_handle(lines: Lines) -> None:
    body = graph(
        "start-over",
        "over-end",
        "over-sorry:error",
        "sorry-end",
        over=node("hand_over", to="person", target="+15005550099", on_error="route"),
        sorry=node("say", text="Nobody is there now."),
    )
    to = await lines.number(body, turn={"goodbye": "Goodbye then."})
    person = lines.person(to)
    lines.twilio.fail_with = (400, 21220, "Cannot redirect.")

    async def script(caller: Person) -> None:
        await caller.hung_up_on()

    try:
        report = await person.call(script)
    finally:
        lines.twilio.fail_with = None
    assert report.heard == "Nobody is there now. Goodbye then."
    call = await lines.world.detail(report)
    assert call["end_reason"] == "dialog_ended"
    assert nodes(await lines.run_of(call, "completed"))["sorry"]["heard"] == "Nobody is there now."


# --- agents and workers in between ----------------------------------------------------------------------------


async def test_an_agent_works_while_the_caller_waits_also_when_the_worker_is_killed(lines: Lines) -> None:
    world = lines.world
    writer = await world.ask(
        "POST", "/api/agents", {"name": "Clerk", "type": "general", "system_prompt": "You decide."}
    )
    body = graph(
        "start-what",
        "what-think",
        "think-tell",
        "tell-end",
        what=node("ask", text="What is it about?"),
        think={
            "type": "agent",
            "agent_id": writer["id"],
            "config": {"prompt": "{{ nodes.what.output.text }}"},
        },
        tell=node("say", text="{{ nodes.think.output.text }}"),
    )
    to = await lines.number(body, turn={"filler": ["One moment."], "filler_after_ms": 300})
    world.vendors.anthropic.latency = 2.0

    async def script(caller: Person) -> None:
        await hears(caller, "What is it about?")
        await caller.say("a refund")
        await hears(caller, "One moment.")
        for pid in world.service.processes()["worker"]:
            os.kill(pid, signal.SIGKILL)
        await hears(caller, SHORT)
        await caller.hung_up_on()

    report = await lines.person(to).call(script)
    assert SHORT in report.heard, report.heard
    call = await world.detail(report)
    run = await lines.run_of(call, "completed")
    assert nodes(run)["tell"]["heard"] == SHORT
    assert call["end_reason"] == "dialog_ended"


async def test_a_voice_process_that_dies_leaves_no_run_behind(lines: Lines) -> None:
    world = lines.world
    to = await lines.number(appointment())

    async def script(caller: Person) -> None:
        await hears(caller, TOPIC)
        for pid in world.service.processes()["voice"]:
            os.kill(pid, signal.SIGKILL)
        await caller.hung_up_on()

    report: Report = await lines.person(to).call(script, status=False)
    call = (await world.details([report], seconds=60))[report.call_sid]
    assert call["end_reason"] == "worker_lost"
    await lines.run_of(call, "cancelled", "canceled")
