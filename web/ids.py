"""Public identifiers: a prefix that names the kind, then 26 characters that sort by creation time."""

import os
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, lower case
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """Return `prefix_` plus a ULID: 48 bits of milliseconds, 80 random bits.

    Ids sort by the order in which this process made them, under the C collation, even within one millisecond
    or when the clock is set back; those of several processes sort by the millisecond.
    """
    global _last
    number = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    with _lock:
        if number <= _last or number >> 80 == _last >> 80:
            # A random distance instead of 1: forked processes start from one value, and must not meet.
            number = _last + 1 + int.from_bytes(os.urandom(8))
        _last = number
    digits = "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
    return f"{prefix}_{digits}"


def new_ids(prefix: str, count: int) -> list[str]:
    """Return `count` ids in the order in which they sort."""
    return [new_id(prefix) for _ in range(count)]
