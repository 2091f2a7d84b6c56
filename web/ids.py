"""Public identifiers: a prefix that names the kind, then 26 characters that sort by creation time."""

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, lower case


def new_id(prefix: str) -> str:
    """Return `prefix_` plus a ULID: 48 bits of milliseconds, 80 random bits.

    Ids made in different milliseconds sort by time under the C collation; within one millisecond the
    order is random.
    """
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10))
    digits = [""] * 26
    for place in range(25, -1, -1):
        digits[place] = _ALPHABET[number & 31]
        number >>= 5
    return f"{prefix}_{''.join(digits)}"


def new_ids(prefix: str, count: int) -> list[str]:
    """Return `count` ids in the order in which they sort; single ones of one millisecond sort at random."""
    return sorted(new_id(prefix) for _ in range(count))
