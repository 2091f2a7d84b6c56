"""What holds for every provider, those without a vendor included, and for the registry."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from agents.providers.base import complete, reply_chunks
from agents.providers.errors import Failure, ProviderError
from agents.providers.registry import PROVIDERS, load
from agents.providers.rehearsal import RehearsalProvider, answer
from agents.providers.scripted import ScriptedProvider
from agents.providers.types import (
    Done,
    FinishReason,
    Message,
    ModelRequest,
    OutputSchema,
    Reply,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolDefinition,
    Usage,
)
from tests.conformance.provider_case import KINDS, Case

ASK = ModelRequest("some-model", (Message("user", "Please find order seven."),))
FIND = ToolDefinition("find_order", "Find", {"type": "object", "properties": {"id": {"type": "string"}}})
SHAPE = OutputSchema("report", {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
REPLY = Reply(
    "Let me look.",
    FinishReason.TOOL_CALLS,
    Usage(3, 4),
    "scripted",
    "some-model",
    "req_1",
    (ToolCall("call_1", "find_order", {"id": "seven"}), ToolCall("call_2", "find_order", {"id": "neun €"})),
)


@pytest.mark.parametrize("piece", [0, 1, 7])
async def test_chunks_fold_into_the_reply_they_were_parted_from(piece: int) -> None:
    assert await complete(ScriptedProvider([reply_chunks(REPLY, piece=piece)]), ASK) == REPLY


async def test_folding_notices_a_stream_without_an_end() -> None:
    with pytest.raises(ProviderError) as caught:
        await complete(ScriptedProvider([[TextDelta("and then")]]), ASK)
    assert caught.value.category is Failure.CUT_STREAM


@pytest.mark.parametrize("arguments", ['{"id": "se', "[]", '"seven"'])
async def test_folding_notices_arguments_that_are_no_object(arguments: str) -> None:
    done = Done(FinishReason.TOOL_CALLS, Usage(), "scripted", "some-model")
    script = ScriptedProvider([[ToolCallDelta(0, "call_1", "find_order", arguments), done]])
    with pytest.raises(ProviderError) as caught:
        await complete(script, ASK)
    assert caught.value.category is Failure.SCHEMA_MISMATCH


async def test_a_script_plays_its_steps_in_order_and_knows_when_it_is_through() -> None:
    script = ScriptedProvider([ProviderError(Failure.OVERLOADED, "busy"), REPLY])
    with pytest.raises(ProviderError, match="busy"):
        await complete(script, ASK)
    with pytest.raises(AssertionError, match="1 scripted calls never came"):
        script.assert_complete()
    assert await complete(script, ASK) == REPLY
    script.assert_complete()
    assert script.requests == [ASK, ASK]
    with pytest.raises(AssertionError, match="call 3 was not scripted"):
        await complete(script, ASK)


async def test_a_script_waits_for_events() -> None:
    gate = asyncio.Event()
    script = ScriptedProvider([[gate, *reply_chunks(REPLY)]])
    task = asyncio.create_task(complete(script, ASK))
    await asyncio.sleep(0)
    assert script.requests == [ASK]
    assert not task.done()
    gate.set()
    assert await task == REPLY


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fields", [{}, {"tools": (FIND,)}, {"output_schema": SHAPE}], ids=["text", "tool", "json"]
)
async def test_vendors_answer_as_rehearsal_does_when_nothing_is_scripted(
    open_case: Callable[..., Case], stream: bool, kind: str, fields: dict[str, Any]
) -> None:
    case = open_case(kind, stream=stream)
    theirs = await case.ask(*ASK.messages, **fields)
    ours = await complete(RehearsalProvider(), case.request(*ASK.messages, **fields))
    assert [call.arguments for call in theirs.tool_calls] == [call.arguments for call in ours.tool_calls]
    assert theirs.finish_reason is ours.finish_reason
    if "output_schema" in fields:
        assert json.loads(theirs.text) == json.loads(ours.text)
    else:
        assert theirs.text == ours.text == answer(case.request(*ASK.messages, **fields)).text


@pytest.mark.parametrize("kind", PROVIDERS)
def test_the_registry_loads_every_kind(kind: str) -> None:
    assert load(kind).__name__.endswith("Provider")


def test_no_sdk_is_imported_before_it_is_needed() -> None:
    code = "import sys, agents.providers.registry as r; r.load('rehearsal'); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"anthropic", "openai", "google.genai"} & set(loaded)


async def test_the_simulated_vendors_run_as_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        line = (await process.stdout.readline()).decode() + (await process.stdout.readline()).decode()
        urls = dict(word.split("=", 1) for word in line.split())
        root = urls["ANTHROPIC_BASE_URL"].removesuffix("/anthropic")
        order = {"vendor": "openai", "steps": [{"fault": {"status": 429, "headers": {"retry-after": "3"}}}]}
        assert await _http("POST", f"{root}/script", order) == {}
        case = Case("openai", None, None, "gpt-6-sol", True, url=urls["OPENAI_BASE_URL"])  # type: ignore[arg-type]
        assert (await case.fail()).retry_after == 3.0
        assert (await case.ask()).text.startswith("You said: Good morning")
        for provider in case.opened:
            await provider.aclose()
        calls = (await _http("GET", f"{root}/calls?vendor=openai"))["openai"]
        assert [(call["status"], call["complete"]) for call in calls] == [(429, True), (200, True)]
    finally:
        process.terminate()
        await process.wait()


async def _http(method: str, url: str, body: Any = None) -> Any:
    async with httpx2.AsyncClient() as client:
        return (await client.request(method, url, json=body)).json()
