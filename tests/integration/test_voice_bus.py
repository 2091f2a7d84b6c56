"""Whole calls whose stages are processes of their own, over a real NATS server; and their deaths in mid-call."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.caller.person import Person
from tests.fakes.caller.report import Report
from tests.fakes.vendor_script import Reply
from tests.fakes.voice_stages import (
    StageProcess,
    bus_environment,
    prefix,
    published,
    reachable,
    server,
    stages,
)
from tests.fakes.voice_world import REPLY, VENDORS, VoiceWorld, free_ports, voice_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
pytestmark.append(pytest.mark.skipif(bool(reachable()), reason=reachable() or "-"))

QUESTION = "when will my parcel arrive"
SHORT = "It should reach you on Thursday."
PREFIX = prefix()
ALL = ("stt", "llm", "tts", "translate", "filter")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[VoiceWorld]:
    async with voice_world(free_ports(2), reply=SHORT, environment=bus_environment(PREFIX, *ALL)) as world:
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


@pytest_asyncio.fixture(loop_scope="module")
async def client() -> AsyncIterator[Any]:
    async with server(PREFIX) as client:
        yield client


@pytest.fixture
def more(world: VoiceWorld) -> Iterator[list[StageProcess]]:
    """Further members, which are ended with the test."""
    found: list[StageProcess] = []
    yield found
    for process in found:
        print(process.stop())


async def events(world: VoiceWorld, report: Report) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    call = await world.detail(report)
    return call, await world.ask("GET", f"/api/voice/calls/{call['id']}/events?limit=200")


def outside(events: list[dict[str, Any]]) -> list[str]:
    """The stages that were done outside, in the order in which they were first used."""
    return [event["payload"]["stage"] for event in events if event["type"] == "stage.outside"]


def fallbacks(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (event["payload"]["stage"], event["payload"]["to"])
        for event in events
        if event["type"] == "stage.fallback"
    ]


def flow(*services: str) -> dict[str, Any]:
    """A session whose audio and text pass these services, in order."""
    edges = list(pairwise(services))
    texts = {"llm", "translate", "filter", "polish"}
    return {
        "name": "outside",
        "flow": [
            {
                "from": source,
                "to": target,
                "stream": "text" if source in texts or target in texts else "audio",
            }
            for source, target in edges
        ],
    }


# --- a call ------------------------------------------------------------------------------------------


async def test_it_answers_over_stages_that_are_processes_of_their_own(world: VoiceWorld, client: Any) -> None:
    to = await world.number()

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)
        await caller.ask(QUESTION)

    async with stages(world, PREFIX, "stt", "llm", "tts"):
        report = await world.person(to).call(script)
    call, found = await events(world, report)
    assert [turn["heard_text"] for turn in call["turns"]] == [SHORT, SHORT]
    assert [turn["caller_text"] for turn in call["turns"]] == [QUESTION, QUESTION]
    assert {(turn["stt"], turn["tts"]) for turn in call["turns"]} == {("deepgram", "elevenlabs")}
    assert sorted(outside(found)) == ["llm", "stt", "tts"]
    assert fallbacks(found) == []
    assert {line["kind"]: line["connector"] for line in call["use"]} == {
        "stt": "deepgram",
        "tts": "elevenlabs",
    }
    assert call["cost"] > 0
    kept = await published(client, PREFIX, f"events.*.{call['id']}")
    assert [message["number"] for message in kept] == list(range(1, len(kept) + 1))
    assert {"call.started", "transcript.final", "turn.completed", "turn", "call.ended"} <= {
        message["type"] for message in kept
    }
    assert [m["payload"]["heard_text"] for m in kept if m["type"] == "turn"] == [SHORT, SHORT]


async def test_it_falls_silent_when_the_caller_interrupts_a_stage(world: VoiceWorld) -> None:
    to = await world.number()
    world.vendors.anthropic.always = Reply(text=REPLY)
    exchanges = []

    async def script(caller: Person) -> None:
        await caller.say(QUESTION)
        exchanges.append(await caller.interrupt("stop talking now please", after_ms=2500))
        await caller.listen()

    async with stages(world, PREFIX, "stt", "llm", "tts"):
        report = await world.person(to).call(script)
    assert exchanges[0].clear is not None
    assert exchanges[0].frames_after_clear == 0
    call, found = await events(world, report)
    assert call["turns"][0]["interrupted"]
    assert REPLY.startswith(call["turns"][0]["heard_text"])
    assert fallbacks(found) == []


async def test_it_calls_with_no_stage_running_at_all(world: VoiceWorld) -> None:
    to = await world.number()

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)

    call, found = await events(world, await world.person(to).call(script))
    assert call["turns"][0]["heard_text"] == SHORT
    assert outside(found) == []
    assert {stage for stage, to in fallbacks(found)} == {"stt", "llm", "tts"}
    assert {to for _, to in fallbacks(found)} == {"in process"}


# --- where it goes next --------------------------------------------------------------------------------


async def test_it_reroutes_when_a_stage_is_put_into_the_flow(world: VoiceWorld, client: Any) -> None:
    """The same processes, a config that changes in mid-call: text goes through the new stages by itself."""
    networks = await world.ask("GET", "/api/mesh/networks")
    body = {**VENDORS, "network_id": networks[0]["id"]}
    session = await world.ask("POST", "/api/voice/sessions/with-config", {**body, "provider": "twilio"})
    changed = {
        **body,
        "pipeline": flow("transport", "stt", "filter", "llm", "polish", "tts", "transport"),
        "connectors": {
            **VENDORS["connectors"],
            "llm": {"primary": "network"},
            "filter": {"primary": "filter", "config": {"replace": {"parcel": "package"}}},
            "polish": {"primary": "filter", "config": {"replace": {"Thursday": "Friday"}}},
        },
    }

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)
        await world.ask("PUT", f"/api/voice/sessions/{session['session_id']}/config", changed)
        await caller.wait(0.5)
        await caller.ask(QUESTION)

    async with stages(world, PREFIX, "stt", "llm", "tts", "filter"):
        webhook = f"/twilio/voice/{session['session_id']}"
        report = await world.person("+15005550009", webhook=webhook).call(script)
    call, found = await events(world, report)
    assert [turn["heard_text"] for turn in call["turns"]] == [SHORT, SHORT.replace("Thursday", "Friday")]
    assert sorted(outside(found)) == ["filter", "llm", "polish", "stt", "tts"]
    assert fallbacks(found) == []
    asked = str(world.vendors.anthropic.calls[-1].body)
    assert "package" in asked, asked
    configs = await published(client, PREFIX, f"config.{session['session_id']}")
    assert [config["version"] for config in configs] == [1, 2]
    assert configs[1]["config"]["connectors"]["polish"]["primary"] == "filter"


# --- deaths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["stt", "llm", "tts"])
async def test_it_survives_a_stage_that_is_killed(world: VoiceWorld, victim: str) -> None:
    to = await world.number()
    world.vendors.anthropic.always = Reply(text=REPLY)
    world.vendors.elevenlabs.set(chunk_interval_ms=50)

    async with stages(world, PREFIX, "stt", "llm", "tts") as running:

        async def script(caller: Person) -> None:
            await caller.say(QUESTION)
            await caller.hears(800)
            running[victim].kill()
            await caller.listen()
            await caller.ask(QUESTION)

        report = await world.person(to).call(script)
    call, found = await events(world, report)
    assert [turn["caller_text"] for turn in call["turns"]] == [QUESTION, QUESTION]
    assert [turn["heard_text"] for turn in call["turns"]] == [REPLY, REPLY]
    assert call["end_reason"] == "caller_hung_up"
    assert (victim, "in process") in fallbacks(found)
    assert {stage for stage, _ in fallbacks(found)} == {victim}


async def test_it_goes_on_with_another_member_of_the_group(
    world: VoiceWorld, more: list[StageProcess]
) -> None:
    """Three recognisers are there; the one that listens is killed while the caller speaks."""
    to = await world.number()
    more += [StageProcess(world, PREFIX, "stt", name=f"ear{number}") for number in range(2)]
    await asyncio.gather(*(process.ready() for process in more))
    killed: list[str] = []

    async def script(caller: Person) -> None:
        await caller.ask(QUESTION)
        speaking = asyncio.create_task(caller.ask("when will my parcel arrive please"))
        await asyncio.sleep(0.7)
        for process in more:  # the first that has a connection of this call to its vendor
            if process.process.poll() is None and not killed:
                killed.append(process.log.name)
                process.kill()
        await speaking

    report = await world.person(to).call(script)
    call, found = await events(world, report)
    assert call["turns"][1]["caller_text"] == "when will my parcel arrive please"
    assert call["turns"][1]["heard_text"] == SHORT
    listened = [event for event in found if event["type"] == "stage.outside"]
    assert {event["payload"]["stage"] for event in listened} == {"stt"}
    assert ("stt", "in process") not in fallbacks(found)
