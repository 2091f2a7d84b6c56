"""Public identifiers: a prefix that names the kind, then 26 characters that sort by creation time."""

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, lower case
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def new_id(prefix: str) -> str:
    """Return `prefix_` plus a ULID: 48 bits of milliseconds, 80 random bits.

    Ids made in different milliseconds sort by time under the C collation; within one millisecond the
    order is random.
    """
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10))
    digits = "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
    return f"{prefix}_{digits}"


def new_ids(prefix: str, count: int) -> list[str]:
    """Return `count` ids in the order in which they sort; single ones of one millisecond sort at random."""
    return sorted(new_id(prefix) for _ in range(count))
