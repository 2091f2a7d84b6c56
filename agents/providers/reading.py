"""Checked reading of vendors' replies: SDK models are built without validation, so any field may be anything.

Each helper raises `TypeError` for a value of the wrong type; `vendor_errors` makes it a malformed reply.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from .errors import Failure, ProviderError

T = TypeVar("T")


def text(value: object) -> str:
    """Return a string as it is, None as the empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r:.80}")
    return value


def count(value: object) -> int:
    """Return a token count, 0 for None."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"expected a count, got {value!r:.80}")
    return value


def instance(value: object, kind: type[T]) -> T:
    """Return `value` if it is what the SDK promised: a 200 with HTML comes back as `str`."""
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, got {value!r:.80}")
    return value


def items(value: Sequence[T] | Iterable[T] | None) -> list[T]:
    """Return a list as it is."""
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {value!r:.80}")
    return value


def json_text(value: object) -> str:
    """Return a tool call's arguments as JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def event_stream(headers: Any, provider: str, model: str) -> None:
    """Raise `malformed` when the answer to a streaming request is a page or a document."""
    kind = str(headers.get("content-type", "")).partition(";")[0]
    if kind in ("text/html", "application/json"):
        raise ProviderError(
            Failure.MALFORMED,
            f"{provider}: {kind} instead of an event stream.",
            provider=provider,
            model=model,
        )


def cut(provider: str, model: str) -> ProviderError:
    """Return the error for a stream that ended before the reply did."""
    return ProviderError(
        Failure.CUT_STREAM, f"{provider}: the stream ended early.", provider=provider, model=model
    )


def parsed(arguments: str) -> Any:
    """Return a tool call's arguments as data, `{}` for none. Cut ones (`max_tokens`) stay text."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
