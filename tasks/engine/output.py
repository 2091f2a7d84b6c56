"""Reading JSON out of what a model wrote, forgiving what does no harm."""

import json
from contextlib import suppress
from typing import Any

# Each brace that opens nothing costs a look at the whole text: a hundred thousand would hold up the loop for seconds.
MAX_BRACES = 200


def extract_object(text: str) -> dict[str, Any] | None:
    """Return the first JSON object in `text`, also from within a code fence or prose; None without one."""
    decoder = json.JSONDecoder()
    start = -1
    for _ in range(MAX_BRACES):
        start = text.find("{", start + 1)
        if start < 0:
            break
        with suppress(ValueError, RecursionError):
            value, _end = decoder.raw_decode(text, start)
            return storable(value) if isinstance(value, dict) else None
    return None


def storable(value: Any) -> Any:
    """Return a JSON value without what PostgreSQL's jsonb refuses: NUL, lone surrogates, non-finite numbers."""
    match value:
        case str():
            return value.replace("\x00", "").encode("utf-8", "replace").decode()
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case list():
            return [storable(item) for item in value]
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case _:
            return value
