"""What is said and asked on a call: the step waits until the call has done it (tasks.dialogs)."""

from collections.abc import Mapping
from typing import Any, Final

from ..ports import AwaitCaller, StepPort
from .node import NodeWork

WAIT_SECONDS: Final = 7.0
ATTEMPTS: Final = 3


async def say(work: NodeWork, port: StepPort) -> AwaitCaller:
    """Say a text."""
    return AwaitCaller({"text": _text(work, "text"), "interruptible": work.config.get("interruptible", True)})


async def ask(work: NodeWork, port: StepPort) -> AwaitCaller:
    """Ask something."""
    config = work.config
    prompt: Mapping[str, Any] = {
        "text": _text(work, "text"),
        "expects": config.get("expects", "both"),
        "choices": [dict(choice) for choice in config.get("choices", ())],
        "max_digits": int(config.get("max_digits", 0)),
        "wait_seconds": float(config.get("wait_seconds", WAIT_SECONDS)),
        "attempts": int(config.get("attempts", ATTEMPTS)),
        "no_match": _text(work, "no_match"),
        "no_input": _text(work, "no_input"),
        "interruptible": config.get("interruptible", True),
    }
    return AwaitCaller(prompt)


async def hand_over(work: NodeWork, port: StepPort) -> AwaitCaller:
    """Give the caller to an agent or to a person."""
    config = work.config
    prompt: Mapping[str, Any] = {
        "text": _text(work, "message"),
        "to": config["to"],
        "target": config.get("target", ""),
        "mode": config.get("mode", "cold"),
        "brief": _text(work, "brief"),
        "context": {name: value for name, value in work.scope["context"].items() if name != "last_output"},
    }
    return AwaitCaller(prompt)


def _text(work: NodeWork, field: str) -> str:
    filled = work.filled(field, "")
    return "" if filled is None else str(filled).strip()
