"""A run's events in words."""

from typing import Any

import pytest

from tasks.history import summarize

AGENTS = {"agent_1": "Content Specialist"}


@pytest.mark.parametrize(
    ("event", "payload", "summary"),
    [
        ("run.started", {"replayed_from": None}, "The task was started."),
        ("run.started", {"replayed_from": "run_0"}, "The task was started again."),
        ("run.completed", {"confidence": 0.876}, "The task was completed with confidence 0.88."),
        ("run.completed", {"confidence": None}, "The task was completed."),
        ("run.failed", {"code": "timeout", "detail": "Too late."}, "The task failed: Too late."),
        ("run.waiting", {"reason": "provider"}, "The task waits: provider"),
        (
            "step.started",
            {"agent_id": "agent_1", "kind": "delegate", "label": "Write copy"},
            "Content Specialist started: Write copy",
        ),
        (
            "step.completed",
            {"agent_id": "gone", "kind": "synthesize"},
            "Synthesis by An agent was completed.",
        ),
        (
            "step.failed",
            {"agent_id": "agent_1", "kind": "delegate", "error": {"code": "refused", "detail": ""}},
            "Subtask by Content Specialist failed: refused",
        ),
        (
            "memory.recalled",
            {"agent_id": "agent_1", "memory_ids": ["m"]},
            "Content Specialist recalled 1 memory item.",
        ),
        ("memory.written", {"agent_id": "agent_1", "items": []}, "Content Specialist remembered 0 items."),
        (
            "model.fallback",
            {"from": "claude-x", "to": "gpt-y", "failure": "server_error"},
            "claude-x did not answer (server error); gpt-y was asked instead.",
        ),
        ("breaker.opened", {}, "Breaker opened."),
    ],
)
def test_it_says_what_happened(event: str, payload: dict[str, Any], summary: str) -> None:
    assert summarize(event, payload, AGENTS) == summary


def test_it_takes_any_event() -> None:
    for event in ("step.completed", "run.waiting", "memory.written", "model.fallback", "made.up"):
        assert summarize(event, {}, {})
