"""A run's events in words. Pure."""

from collections.abc import Mapping
from typing import Any

_KINDS = {"coordinate": "Coordination", "delegate": "Subtask", "synthesize": "Synthesis"}


def summarize(event_type: str, payload: Mapping[str, Any], agents: Mapping[str, str]) -> str:
    """Say in one sentence what an event tells; an unknown type is spelled out as it is."""
    agent = agents.get(payload.get("agent_id") or "", "An agent")
    kind = _KINDS.get(payload.get("kind") or "", "Step")
    label = payload.get("label") or ""
    error = payload.get("error") or {}
    match event_type:
        case "run.started":
            return "The task was started again." if payload.get("replayed_from") else "The task was started."
        case "run.completed":
            return f"The task was completed{_confidence(payload)}."
        case "run.failed":
            return (
                f"The task failed: {payload.get('detail') or payload.get('code') or 'no reason was recorded'}"
            )
        case "run.cancelled":
            return f"The task was cancelled: {payload.get('reason') or 'no reason was given'}"
        case "run.waiting":
            return f"The task waits: {payload.get('detail') or payload.get('reason') or 'for something'}"
        case "step.started":
            return f"{agent} started: {label}" if label else f"{agent} started: {kind.lower()}."
        case "step.completed" if "reused_from" in payload:
            return f"{kind} by {agent} was taken over from the run before."
        case "step.completed":
            return f"{kind} by {agent} was completed{_confidence(payload)}."
        case "step.failed":
            return f"{kind} by {agent} failed: {error.get('detail') or error.get('code') or 'unknown'}"
        case "step.skipped":
            return f"{kind} by {agent} was skipped."
        case "step.retried":
            return f"{kind} is tried again ({payload.get('reason') or 'retry'})."
        case "agent.request":
            return f"{agent} asked {payload.get('model')}."
        case "agent.response":
            return f"{agent} got an answer from {payload.get('model')}."
        case "memory.recalled":
            return f"{agent} recalled {_count(payload.get('memory_ids'), 'memory item')}."
        case "memory.written":
            return f"{agent} remembered {_count(payload.get('items'), 'item')}."
        case "model.fallback":
            failure = str(payload.get("failure") or "failure").replace("_", " ")
            return f"{payload.get('from')} did not answer ({failure}); {payload.get('to')} was asked instead."
    return event_type.replace(".", " ").replace("_", " ").capitalize() + "."


def _confidence(payload: Mapping[str, Any]) -> str:
    confidence = payload.get("confidence")
    return f" with confidence {confidence:.2f}" if isinstance(confidence, int | float) else ""


def _count(items: Any, noun: str) -> str:
    number = len(items) if isinstance(items, list) else 0
    return f"{number} {noun}{'' if number == 1 else 's'}"
