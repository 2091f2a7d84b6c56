"""What every provider makes of good replies."""

import base64
import json
from dataclasses import replace

import jsonschema
import pytest

from agents.providers.types import (
    Done,
    FinishReason,
    Message,
    OutputSchema,
    TextDelta,
    ToolCall,
    ToolDefinition,
    Usage,
)
from tests.conformance.provider_case import Case
from tests.fakes.vendor_script import Reply

WEATHER = ToolDefinition(
    "get_weather",
    "The weather in a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOSED = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "score": {"type": "number"}},
    "required": ["title", "score"],
    "additionalProperties": False,
}
OPEN = {"type": "object", "properties": {"facts": {"type": "object"}}, "required": ["facts"]}


async def test_it_returns_the_text_with_its_origin(case: Case) -> None:
    case.vendor.script(Reply("Good morning, and welcome: nice to see you here."))
    reply = await case.ask()
    assert reply.text == "Good morning, and welcome: nice to see you here."
    assert reply.finish_reason is FinishReason.STOP
    assert (reply.provider, reply.model) == (case.kind, case.model)
    assert reply.request_id == case.last.id
    assert case.last.stream is case.stream
    assert case.last.complete


async def test_it_streams_text_in_pieces(streamed: Case) -> None:
    streamed.vendor.script(Reply("one two three four five six seven eight nine ten"))
    chunks = [chunk async for chunk in streamed.provider.stream(streamed.request())]
    assert len([chunk for chunk in chunks if isinstance(chunk, TextDelta)]) > 1
    assert isinstance(chunks[-1], Done)


async def test_it_names_the_model_that_answered(case: Case) -> None:
    case.vendor.script(Reply("hello", model="newer-model-1"))
    assert (await case.ask()).model == "newer-model-1"


async def test_it_joins_system_messages_into_the_instructions(case: Case) -> None:
    await case.ask(Message("system", "Be brief."), Message("system", "Be kind."), Message("user", "Hello"))
    body = json.dumps(case.last.body)
    assert "Be brief.\\n\\nBe kind." in body


async def test_it_passes_the_conversation_in_order(case: Case) -> None:
    await case.ask(Message("user", "first"), Message("assistant", "second"), Message("user", "third"))
    body = json.dumps(case.last.body)
    assert body.index("first") < body.index("second") < body.index("third")


async def test_it_returns_tool_calls_with_their_arguments(case: Case) -> None:
    calls = (
        ToolCall("call_a", "get_weather", {"city": "São Paulo, Brazil"}),
        ToolCall("call_b", "get_weather", {"city": "Oslo"}),
    )
    case.vendor.script(Reply("Let me look.", calls, FinishReason.TOOL_CALLS))
    reply = await case.ask(tools=(WEATHER,))
    assert reply.text == "Let me look."
    assert reply.tool_calls == calls
    assert reply.finish_reason is FinishReason.TOOL_CALLS


async def test_it_hands_tool_results_back(case: Case) -> None:
    call = ToolCall("call_a", "get_weather", {"city": "Oslo"})
    reply = await case.ask(
        Message("user", "The weather in Oslo?"),
        Message("assistant", "", (call,)),
        Message("tool", '{"degrees": 7}', tool_call_id="call_a"),
        tools=(WEATHER,),
    )
    assert "degrees" in reply.text  # the simulated model quotes the result it found


async def test_it_sends_ids_of_other_vendors_in_a_form_its_own_takes(case: Case) -> None:
    foreign = "functions.get_weather:0/" + "x" * 80
    await case.ask(
        Message("user", "The weather?"),
        Message("assistant", "", (ToolCall(foreign, "get_weather", {"city": "Oslo"}),)),
        Message("tool", "rain", tool_call_id=foreign),
        tools=(WEATHER,),
    )
    assert foreign not in json.dumps(case.last.body)


async def test_it_keeps_thinking_for_the_model_that_thought(case: Case) -> None:
    if case.kind == "openai_compatible":
        pytest.skip("Chat Completions has no thinking to hand back")
    call = ToolCall("call_a", "get_weather", {"city": "Oslo"})
    case.vendor.script(
        Reply("I will look.", (call,), FinishReason.TOOL_CALLS, thinking="Which city? Oslo, of course.")
    )
    question = Message("user", "The weather in Oslo?")
    reply = await case.ask(question, tools=(WEATHER,))
    assert reply.opaque is not None
    assert "Which city" not in reply.text
    json.dumps(reply.opaque.blocks)  # it is journaled

    turn = Message("assistant", reply.text, reply.tool_calls, opaque=reply.opaque)
    result = Message("tool", "rain", tool_call_id="call_a")
    await case.ask(question, turn, result, tools=(WEATHER,))
    signature = f"by {case.model}"
    if case.kind == "google":  # bytes travel as base64
        signature = base64.urlsafe_b64encode(signature.encode()).decode()
    assert signature in json.dumps(case.last.body)


@pytest.mark.parametrize("change", ["another model", "another text"])
async def test_it_drops_thinking_that_no_longer_fits(case: Case, change: str) -> None:
    case.vendor.script(Reply("I think so.", thinking="Hm, let me see"))
    reply = await case.ask()
    turn = Message("assistant", reply.text, opaque=reply.opaque)
    if change == "another text":
        turn = replace(turn, content="[redacted]")
    model = "gemini-2-other" if change == "another model" else case.model
    again = await case.ask(Message("user", "Sure?"), turn, Message("user", "Really?"), model=model)
    assert again.finish_reason is FinishReason.STOP
    body = json.dumps(case.last.body)
    assert "Hm, let me see" not in body
    assert turn.content in body


@pytest.mark.parametrize("schema", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize("native", [True, False], ids=["json mode", "no json mode"])
async def test_it_asks_for_json_in_the_way_the_model_takes(case: Case, schema: dict, native: bool) -> None:
    case.capabilities = replace(case.capabilities, json_schema=native)
    reply = await case.ask(output_schema=OutputSchema("report", schema))
    jsonschema.validate(json.loads(reply.text), schema)
    assert reply.finish_reason is FinishReason.STOP
    assert not reply.tool_calls


async def test_it_counts_tokens_one_way_for_all_vendors(case: Case) -> None:
    usage = Usage(input=100, output=40, cached=30, reasoning=15)
    case.vendor.script(Reply("counted", usage=usage))
    assert (await case.ask()).usage == usage


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.MAX_TOKENS, FinishReason.REFUSAL])
async def test_it_tells_why_the_reply_ended(case: Case, reason: FinishReason) -> None:
    case.vendor.script(Reply("I would rather not, as it", finish=reason))
    reply = await case.ask()
    assert reply.finish_reason is reason
    assert reply.truncated is (reason is FinishReason.MAX_TOKENS)


async def test_it_ends_at_a_stop_sequence(case: Case) -> None:
    if case.kind == "openai":  # the only API without the parameter: cut on our side
        case.vendor.script(Reply("one two thr END ee four"))
        assert (await case.ask(stop=("END",))).text == "one two thr "
    else:
        await case.ask(stop=("END",))
        assert "END" in json.dumps(case.last.body)


async def test_it_drops_parameters_the_model_refuses(case: Case) -> None:
    # the strict capabilities; the simulated vendors answer 400 to what the real ones refuse
    await case.ask(temperature=0.3, top_p=0.9, tools=(WEATHER,), tool_choice="required", max_tokens=100_000)
    body = json.dumps(case.last.body)
    assert "0.3" not in body
    assert "0.9" not in body
    assert "8192" in body  # the model's own cap


async def test_it_passes_parameters_the_model_takes(case: Case) -> None:
    case.capabilities = replace(case.capabilities, sampling=True, forced_tool_choice=True)
    await case.ask(temperature=0.3, tools=(WEATHER,), tool_choice="required", model="older-model")
    body = json.dumps(case.last.body)
    assert ("0.3" in body) is (case.kind != "anthropic")  # whose API takes it no more, of any model
    assert any(word in body for word in ('"required"', '"ANY"', '"any"'))
