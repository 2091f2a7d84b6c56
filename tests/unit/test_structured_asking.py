"""Asking for an object: taken, mended once, asked of the next model, or given up."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from agents.providers.types import FinishReason, ModelRequest, Reply, Usage
from tasks.engine.executors.structured import ask_for_object, freeze
from tasks.engine.ports import (
    AgentView,
    ChildRun,
    EndedStep,
    PartResult,
    Recalled,
    SnapshotView,
    StepFailed,
    StepWork,
    SubTask,
    ToolOutcome,
    ToolRequest,
)

SCHEMA = {
    "type": "object",
    "properties": {"result": {"type": "string"}, "a": {"type": "integer"}},
    "required": ["result"],
}
AGENT = AgentView("agent_1", "Writer", "content", models=("first", "second", "third"))
GOOD, WRONG, PROSE = '{"result": "x"}', '{"result": 1}', "I would rather not."


class Port:
    """A port whose model says what is written; `asked` holds (turn, request, models)."""

    def __init__(self, *replies: str | Reply) -> None:
        self.asked: list[tuple[int, ModelRequest, list[str]]] = []
        self.context: Mapping[str, Any] = {}
        self._replies = list(replies)

    async def ask(self, turn: int, request: ModelRequest, models: Sequence[str]) -> Reply:
        self.asked.append((turn, request, list(models)))
        reply = self._replies.pop(0)
        return reply if isinstance(reply, Reply) else says(reply, models[0])

    def freeze(self, context: Mapping[str, Any]) -> None:
        self.context = context

    async def results(self) -> Sequence[PartResult]:
        raise AssertionError("nobody asked for results")

    async def recall(self, query: str, limit: int) -> Sequence[Recalled]:
        raise AssertionError("nobody asked for memory")

    async def call_tools(self, turn: int, requests: Sequence[ToolRequest]) -> Sequence[ToolOutcome]:
        raise AssertionError("nobody asked for tools")

    async def ended(self, nodes: Collection[str]) -> Sequence[EndedStep]:
        raise AssertionError("nobody asked for steps")

    async def child_run(self) -> ChildRun | None:
        raise AssertionError("nobody asked for a run")

    async def start_task(self, task: SubTask) -> str:
        raise AssertionError("nobody asked to start a run")


def says(text: str, model: str = "first", **fields: Any) -> Reply:
    given: dict[str, Any] = {"finish_reason": FinishReason.STOP, "usage": Usage(1, 1), "provider": "p"}
    return Reply(text=text, model=model, **{**given, **fields})


def context(port: Port, *, schema: Mapping[str, Any] = SCHEMA) -> Mapping[str, Any]:
    snapshot = SnapshotView({"name": "n"}, {AGENT.id: AGENT}, AGENT.id)
    names: dict[str, Any] = dict.fromkeys(
        ("id", "run_id", "project_id", "network_id", "key", "kind", "label"), "x"
    )
    work = StepWork(
        **names,
        round=1,
        agent_id=AGENT.id,
        fence=1,
        max_iterations=1,
        input={},
        run_input={},
        snapshot=snapshot,
    )
    return freeze(
        work, port, AGENT, name="report", schema=schema, system="Be.", user="Do.", recalled=["memory_1"]
    )


async def ask(port: Port, **options: Any) -> dict[str, Any]:
    value, _ = await ask_for_object(port, context(port), **options)
    return value


async def test_it_takes_a_good_answer() -> None:
    port = Port(GOOD)
    assert await ask(port) == {"result": "x"}
    assert [turn for turn, _, _ in port.asked] == [0]


async def test_it_has_a_wrong_answer_mended_once() -> None:
    port = Port(WRONG, GOOD)
    assert await ask(port) == {"result": "x"}
    (_, first, _), (turn, second, models) = port.asked
    assert turn == 1
    assert models == ["first", "second", "third"]
    assert second.messages[:2] == first.messages
    assert [message.role for message in second.messages[2:]] == ["assistant", "user"]
    assert second.messages[2].content == WRONG
    assert "result: 1 is not of type 'string'" in second.messages[3].content


async def test_it_asks_the_next_model_afresh_when_mending_did_not_help() -> None:
    port = Port(PROSE, WRONG, GOOD)
    assert await ask(port) == {"result": "x"}
    assert [models for _, _, models in port.asked] == [["first", "second", "third"]] * 2 + [
        ["second", "third"]
    ]
    assert len(port.asked[2][1].messages) == 2  # without what the first one said


async def test_it_gives_up_when_every_model_had_its_chance() -> None:
    port = Port(*[PROSE] * 6)
    with pytest.raises(StepFailed, match="not a JSON object") as raised:
        await ask(port)
    assert raised.value.code == "invalid_output"
    assert len(port.asked) == 6


async def test_it_sends_nonsense_back_once_and_then_fails() -> None:
    port = Port(GOOD, GOOD)
    with pytest.raises(StepFailed, match="unknown agent"):
        await ask(port, check=lambda value: ["unknown agent"])
    assert len(port.asked) == 2
    assert "- unknown agent" in port.asked[1][1].messages[-1].content


async def test_it_does_not_argue_with_a_refusal() -> None:
    port = Port(says("No.", finish_reason=FinishReason.REFUSAL))
    with pytest.raises(StepFailed, match="first refused to answer: No") as raised:
        await ask(port)
    assert raised.value.code == "refused"
    assert len(port.asked) == 1


async def test_it_says_that_an_answer_was_cut_off() -> None:
    port = Port(says('{"result": "x', truncated=True), GOOD)
    await ask(port)
    assert "cut off at max_tokens" in port.asked[1][1].messages[-1].content


async def test_it_keeps_the_schemas_order_over_a_database_that_sorts_keys() -> None:
    port = Port(GOOD)
    stored = json.loads(json.dumps(context(port), sort_keys=True))
    await ask_for_object(port, stored)
    asked = port.asked[0][1].output_schema
    assert asked is not None
    assert list(asked.schema["properties"]) == ["result", "a"]


def test_it_hands_over_what_a_retry_needs() -> None:
    port = Port()
    made = context(port)
    assert port.context is made
    assert made["recalled"] == ["memory_1"]
    assert made["models"] == ["first", "second", "third"]
