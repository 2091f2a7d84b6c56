"""Memories as agents suggest them."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..decision import clamp
from ..ports import NewMemory

MAX_MEMORIES = 10
MAX_CONTENT = 5_000


def memories_of(suggested: Iterable[Mapping[str, Any]]) -> tuple[NewMemory, ...]:
    """Return what is worth keeping: not empty, bounded in size and number."""
    kept = [
        NewMemory(item["type"], item["content"].strip()[:MAX_CONTENT], clamp(item["confidence"]))
        for item in suggested
        if item["content"].strip()
    ]
    return tuple(kept[:MAX_MEMORIES])
