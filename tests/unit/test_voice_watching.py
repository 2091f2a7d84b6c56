"""What the page to talk on is told of its call."""

from typing import Any

import pytest

from voice.connectors.types import Speech
from voice.pipeline.ports import CallSummary, NullLog, TurnRecord
from voice.watching import WatchedLog, WatchedSpeaker


class Page:
    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def log(page: Page) -> WatchedLog:
    return WatchedLog(NullLog(), show=page)


def test_it_writes_what_the_caller_is_saying_until_it_is_final(log: WatchedLog, page: Page) -> None:
    log.event("transcript.partial", {"text": "what can"})
    log.event("transcript.final", {"text": "what can you do"})
    log.event("transcript.final", {"text": "mm-hm", "backchannel": True})
    assert [(fields["role"], fields["text"], fields["final"]) for _, fields in page.told] == [
        ("caller", "what can", False),
        ("caller", "what can you do", True),
        ("caller", "mm-hm", False),
    ]


def test_it_writes_what_the_agent_says_clause_by_clause(log: WatchedLog, page: Page) -> None:
    for text in ("Well, ", "let me see."):
        log.saying(text)
    log.turn(
        TurnRecord(1, "hi", "Well, let me see.", "Well,", interrupted=True, latencies={"first_frame": 1.26})
    )
    log.saying("Next.")
    assert [fields["text"] for event, fields in page.told if event == "transcript"] == [
        "Well,",
        "Well, let me see.",
        "Next.",
    ]
    [turn] = [fields for event, fields in page.told if event == "turn"]
    assert (turn["heard_text"], turn["interrupted"], turn["latencies"]) == (
        "Well,",
        True,
        {"first_frame": 1.3},
    )


def test_it_forgets_an_answer_that_was_thrown_away(log: WatchedLog, page: Page) -> None:
    log.saying("A guess.")
    log.event("speculation.dropped", {})
    log.saying("The answer.")
    assert page.told[-1][1]["text"] == "The answer."


def test_it_says_what_people_should_know_and_nothing_else(log: WatchedLog, page: Page) -> None:
    log.event("recording.started", {"file": "x.wav"})
    log.event("error", {"message": "no voice"})
    log.event("speculation.kept", {"turn": 1})
    log.measure("barge_in_ms", 1.0)
    assert [fields["text"] for _, fields in page.told] == ["This call is recorded.", "Trouble: no voice"]


def test_it_tells_how_a_call_ended(log: WatchedLog, page: Page) -> None:
    log.ended(CallSummary("idle", 12.34, 1, 0, 0, 4.2))
    assert page.told == [("end", {"reason": "idle", "seconds": 12.3, "mos": 4.2})]


async def test_it_passes_the_voice_on_unchanged(log: WatchedLog, page: Page) -> None:
    class Voice:
        closed = 0

        async def speak(self, text: str, *, queued_ms: Any) -> Any:
            yield Speech(text.encode())

        async def warm(self) -> None: ...

        def use(self) -> tuple[Any, ...]:
            return ()

        async def aclose(self) -> None:
            self.closed += 1

    voice: Any = Voice()
    speaker = WatchedSpeaker(voice, log)
    await speaker.warm()
    assert [piece.audio async for piece in speaker.speak("Hello.", queued_ms=lambda: 0.0)] == [b"Hello."]
    assert speaker.use() == ()
    await speaker.aclose()
    assert voice.closed == 1
    assert page.told[0][1]["text"] == "Hello."
