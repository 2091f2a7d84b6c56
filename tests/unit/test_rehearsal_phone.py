"""What rehearsal says on the telephone: short, honest, and with the tools that a caller names."""

import pytest

from agents.prompting import INTERPRET, SPOKEN, data_block
from agents.providers.rehearsal import answer
from agents.providers.types import FinishReason, Message, ModelRequest, ToolDefinition

SYSTEM = Message("system", f"You sell shoes.\n{SPOKEN} Be short.")
NAMES = ("start_task", "end_call", "transfer_to_person", "memory_search", "remember", "task_status")


def tool(name: str) -> ToolDefinition:
    field = {"end_call": "farewell"}.get(name, "text")
    return ToolDefinition(
        name, "", {"type": "object", "properties": {field: {"type": "string"}}, "required": ["text"]}
    )


def ask(text: str, *more: Message):
    return answer(
        ModelRequest("rehearsal", (SYSTEM, Message("user", text), *more), tools=tuple(map(tool, NAMES)))
    )


def test_it_says_that_it_is_a_rehearsal() -> None:
    assert (
        ask("What do you sell?").text
        == "This is a rehearsal, no model was called. You said: What do you sell?"
    )


def test_it_answers_from_what_is_known() -> None:
    memory = data_block(
        "memory", [{"id": "1", "content": "Boots cost 90 euros."}, {"id": "2", "content": "x"}]
    )
    assert ask(f"{memory}\n\nWhat do boots cost?").text.endswith(
        "What I know about that: Boots cost 90 euros."
    )
    assert "Boots" not in ask(f"{memory}\n\nHello there").text


def test_it_tells_news() -> None:
    news = data_block("news", "The task is done.")
    assert (
        ask(f"{news}\n\nTell the caller.").text
        == "This is a rehearsal. I have news for you. The task is done."
    )


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Please start a task and write a poem", "start_task"),
        ("Can you transfer me?", "transfer_to_person"),
        ("Remember that I like red", "remember"),
        ("What is the status of my task?", "task_status"),
        ("Thanks, goodbye", "end_call"),
    ],
)
def test_it_uses_the_tool_that_is_meant(said: str, name: str) -> None:
    reply = ask(said)
    assert reply.finish_reason is FinishReason.TOOL_CALLS
    assert [call.name for call in reply.tool_calls] == [name]


@pytest.mark.parametrize(
    "said", ["Did you call me?", "My memory is bad", "It was a hard task", "In the end it works"]
)
def test_it_uses_no_tool_for_half_a_name(said: str) -> None:
    assert ask(said).tool_calls == ()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            '{"task_id":"task_1","status":"started"}',
            "I have started that as a task, and tell you when it is done.",
        ),
        ('{"memory":[{"content":"Nine o\'clock"}]}', "I found: Nine o'clock"),
        ('{"memory":[]}', "I found nothing about that."),
        ('{"error":"Not now."}', "Not now."),
        ('{"task":"x","status":"in_progress"}', "That task is in progress."),
        ("plain", "plain"),
    ],
)
def test_it_says_what_a_tool_answered(result: str, said: str) -> None:
    reply = ask("Remember it", Message("assistant", "", ()), Message("tool", result, tool_call_id="1"))
    assert reply.text == f"This is a rehearsal. {said}"


def test_it_gives_back_what_it_cannot_translate() -> None:
    request = ModelRequest(
        "rehearsal",
        (Message("system", f"{INTERPRET} From German into English."), Message("user", "Guten Tag")),
    )
    assert answer(request).text == "Guten Tag"
