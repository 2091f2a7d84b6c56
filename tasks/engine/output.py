"""Reading JSON out of what a model wrote, forgiving what does no harm."""

import json
from typing import Any


def extract_object(text: str) -> dict[str, Any] | None:
    """Return the first JSON object in `text`, also from within a code fence or prose; None without one."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        return value if isinstance(value, dict) else None
    return None
