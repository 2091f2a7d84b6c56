"""The agent on the phone with everything real: PostgreSQL, the SDKs, the ledger, a worker for its tasks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from agents.catalogue import Catalogue
from agents.models import Agent, ModelCall
from agents.providers.errors import Failure, ProviderError
from agents.providers.types import FinishReason, ToolCall, Usage
from agents.resilience.gateway import ModelGateway
from agents.resilience.ports import Credential
from memory.models import MemoryItem
from memory.services import remember
from networks.models import Network, Project
from tasks.models import Task
from tasks.store.pool import make_pool
from tasks.worker.incarnation import Incarnation
from tests.fakes.vendor_script import Fault, Reply
from tests.fakes.vendor_server import Vendors, vendor_servers
from tests.integration.loop_world import Model, worker
from tests.unit.voice_agent_world import request, session, words
from voice.agent import make_responder
from voice.agent_desk import NetworkDesk
from voice.agent_ports import CallContext
from voice.calllog import CallWriter
from voice.models import CallEvent, PhoneCall
from voice.phone_log import PhoneLog
from voice.pipeline.ports import ReplyDone, Responder, Utterance
from voice.respond import respond
from voice.standalone import Standalone

pytestmark = pytest.mark.django_db(transaction=True)


class Keys:
    """A key for each simulated vendor that is named."""

    def __init__(self, vendors: Vendors, *kinds: str) -> None:
        self._vendors = vendors
        self._kinds = kinds

    def get(self, project_id: str, provider: str) -> Credential | None:
        if provider not in self._kinds:
            return None
        return Credential("secret", self._vendors.all[provider].url, "test")


class Line:
    """One call to a network, with what it is made of."""

    def __init__(self, vendors: Vendors, writer: CallWriter, call: PhoneCall, agent: Agent) -> None:
        self.vendors, self.writer, self.call, self.agent = vendors, writer, call, agent
        assert agent.network is not None
        self.network = agent.network
        self.config = session(prompt="You sell shoes.")
        self.gateway = ModelGateway(Catalogue.from_seed(), Keys(vendors, "anthropic", "openai"))
        self.log: PhoneLog = writer.open(call.pk)
        self.context = CallContext(call.project_id, call.network_id or "", call.pk, "v1")
        self.responder = self.responder_of(self.gateway)

    def responder_of(self, gateway: ModelGateway) -> Responder:
        return make_responder(
            call=self.context,
            config=lambda: self.config,
            gateway=gateway,
            writer=self.writer,
            desk=NetworkDesk(),
            events=self.log,
        )

    async def ask(self, text: str, turn: int = 1, **options: Any) -> list[Any]:
        return [piece async for piece in self.responder.respond(request(text, turn, **options))]

    async def ledger(self) -> list[ModelCall]:
        assert await self.writer.flush()
        return await in_database(lambda: list(ModelCall.objects.order_by("id")))


async def in_database(function: Callable[[], Any]) -> Any:
    def run() -> Any:
        try:
            return function()
        finally:
            connection.close()

    return await asyncio.to_thread(run)


def world() -> tuple[PhoneCall, Agent]:
    project = Project.objects.create(name="Voice")
    network = Network.objects.create(project=project, name="Shop", description="A shoe shop")
    agent = Agent.objects.create(
        project=project, network=network, name="Lead", type="coordinator", system_prompt="You lead the shop."
    )
    Agent.objects.create(project=project, network=network, name="Writer", type="content")
    call = PhoneCall.objects.create(project=project, network=network, transport="web", state="active")
    return call, agent


@pytest.fixture
def cast() -> tuple[PhoneCall, Agent]:
    return world()


@pytest.fixture
async def life(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Incarnation]:
    """A worker's life on the test's own loop."""
    monkeypatch.setattr("tasks.worker.hints.publish", lambda kind, step_id, run_id: True)
    monkeypatch.setattr("tasks.notifier._SAFETY_POLL", 0.2)  # this worker publishes no notices
    pool = make_pool(database_url)
    await pool.open()
    life = Incarnation(pool, "w1", 30.0)
    await life.lease.register()
    yield life
    await life.lease.let_go()
    await pool.close()


@pytest.fixture
async def line(cast: tuple[PhoneCall, Agent], tmp_path: Path) -> AsyncIterator[Line]:
    async with vendor_servers() as vendors:
        writer = CallWriter(leftovers=tmp_path)
        await writer.start()
        line = Line(vendors, writer, *cast)
        yield line
        await line.responder.aclose()
        await line.gateway.aclose()
        await writer.aclose()


def tool(name: str, text: str = "", **arguments: Any) -> Reply:
    return Reply(text, (ToolCall("call_1", name, arguments),), FinishReason.TOOL_CALLS)


async def test_it_answers_by_the_networks_coordinator_and_books_it(line: Line) -> None:
    line.vendors.anthropic.script(Reply("We have boots.", usage=Usage(input=1000, output=100)))
    pieces = await line.ask("What do you sell?", turn=4, history=[Utterance("agent", "Welcome!")])
    assert words(pieces) == "We have boots."
    assert isinstance(pieces[-1], ReplyDone)
    [seen] = line.vendors.anthropic.calls
    system = str(seen.body["system"])
    assert system.index("You sell shoes.") < system.index("You lead the shop.")
    assert "A shoe shop" in system
    [row] = await line.ledger()
    assert (row.state, row.call_id, row.turn, row.agent_id) == ("succeeded", line.call.pk, 4, line.agent.pk)
    assert (row.input_tokens, row.output_tokens, row.network_id) == (1000, 100, line.network.pk)
    assert row.cost > 0
    assert float(row.cost) == pytest.approx(pieces[-1].cost)
    await in_database(line.call.refresh_from_db)
    assert line.call.cost == row.cost


async def test_it_answers_by_the_agent_that_the_config_names(line: Line) -> None:
    other = await in_database(lambda: Agent.objects.get(name="Writer"))
    line.config = session(agent_id=other.pk)
    line.vendors.anthropic.script(Reply("Hello"))
    await line.ask("Hello")
    assert [row.agent_id for row in await line.ledger()] == [other.pk]


async def test_it_recalls_what_the_network_knows(line: Line) -> None:
    item = await in_database(
        lambda: remember(network=line.network, content="Winter boots cost ninety euros.").pk
    )
    line.vendors.anthropic.script(Reply("Ninety."))
    pieces = await line.ask("How much are the winter boots?")
    [seen] = line.vendors.anthropic.calls
    assert "Winter boots cost ninety euros." in str(seen.body["messages"])
    assert pieces[-1].citations == (item,)


async def test_it_falls_back_to_the_next_vendor_and_says_so_in_the_log(line: Line) -> None:
    line.vendors.anthropic.script(Fault("status", status=529))
    line.vendors.openai.script(Reply("Here I am."))
    assert words(await line.ask("Hello")) == "Here I am."
    assert [(row.provider, row.state) for row in await line.ledger()] == [
        ("anthropic", "failed"),
        ("openai", "succeeded"),
    ]
    types = await in_database(lambda: list(CallEvent.objects.values_list("type", flat=True)))
    assert types == ["model.fallback"]


async def test_it_stops_the_model_when_the_caller_interrupts(line: Line) -> None:
    line.vendors.anthropic.script(Reply("A very long answer " * 50, per_chunk=0.05, usage=Usage(500, 250)))
    stream = line.responder.respond(request("Tell me everything"))
    await anext(stream)
    await stream.aclose()
    [row] = await line.ledger()
    assert (row.state, row.failure) == ("cancelled", "cancelled")
    assert 0 < row.output_tokens < 250
    assert row.cost > 0


async def test_it_books_speculation_as_such(line: Line) -> None:
    line.vendors.anthropic.script(Reply("Early"), Reply("Late"))
    await line.ask("When do", turn=1, speculative=True)
    await line.ask("When do you open?", turn=1, speculative=True)
    line.responder.keep(1)
    assert [row.speculative for row in await line.ledger()] == [True, False]


async def test_it_keeps_what_callers_say_as_hearsay(line: Line) -> None:
    line.vendors.anthropic.script(tool("remember", content="The caller wants red boots."), Reply("Noted."))
    assert words(await line.ask("I want red boots")) == "Noted."
    item = await in_database(lambda: MemoryItem.objects.get())
    assert (item.content, item.source, item.trusted) == ("The caller wants red boots.", "caller", False)
    assert item.metadata == {"call_id": line.call.pk}
    line.vendors.anthropic.script(Reply("Red ones."))
    await line.ask("Which boots did I want, the red ones?", turn=2)
    assert "unverified hearsay" in str(line.vendors.anthropic.calls[-1].body["messages"])


async def test_it_starts_a_task_and_tells_its_result(line: Line, life: Incarnation) -> None:
    line.vendors.anthropic.script(
        tool("start_task", "I will have that written.", description="Write a slogan for red boots"),
        Reply("On it."),
    )
    assert words(await line.ask("Please write me a slogan")) == "I will have that written. On it."
    task = await in_database(lambda: Task.objects.get())
    assert (task.description, task.context["call_id"]) == ("Write a slogan for red boots", line.call.pk)
    news = line.responder.announcements()
    async with worker(life, Model()):
        told = await asyncio.wait_for(anext(news), 30)
    assert told.startswith("The task “Write a slogan for red boots” is done. Its result: ")
    await news.aclose()
    line.vendors.anthropic.script(Reply("Your slogan is ready."))
    assert words(await line.ask(told, turn=2, note=True)) == "Your slogan is ready."
    assert await line.writer.flush()
    types = await in_database(lambda: list(CallEvent.objects.order_by("seq").values_list("type", flat=True)))
    assert types == ["task.started", "task.finished"]


async def test_it_says_that_an_archived_network_takes_no_calls(line: Line) -> None:
    await in_database(lambda: Network.objects.update(status="archived"))
    with pytest.raises(ProviderError) as caught:
        await line.ask("Hello")
    assert caught.value.category is Failure.INVALID_REQUEST


async def test_it_rehearses_a_task_without_any_key(line: Line) -> None:
    line.responder = line.responder_of(ModelGateway(Catalogue.from_seed(), Keys(line.vendors)))
    pieces = await line.ask("Please start a task and write a poem")
    assert (
        words(pieces) == "This is a rehearsal. I have started that as a task, and tell you when it is done."
    )
    assert await in_database(lambda: Task.objects.get().description) == "Please start a task and write a poem"
    assert [(row.provider, row.cost) for row in await line.ledger()] == [("rehearsal", 0)] * 2


async def test_it_answers_without_a_call(line: Line) -> None:
    line.vendors.anthropic.script(tool("end_call", farewell="Bye!"))
    line.config = replace(session(), network_id=line.network.pk)
    answer = await respond(
        Standalone(line.gateway, None, line.writer),  # type: ignore[arg-type]
        project_id=line.call.project_id,
        config=line.config,
        utterance="Goodbye",
    )
    assert (answer.reply, answer.actions) == ("Bye!", [{"name": "hang_up", "reason": "agent"}])
    assert answer.model
    row = await in_database(lambda: ModelCall.objects.get())  # written before the answer was given
    assert (row.call_id, row.state) == (None, "succeeded")
