"""WebSocket frames (RFC 6455, section 5.2) of the kind that comes and goes fifty times a second for each call:
a whole message, not compressed, of less than 64 KB."""

from struct import Struct
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the compiled part
    from websockets.utils import apply_mask

TEXT: Final = 0x81  # a frame's first byte: the last one of its message, and its kind
BINARY: Final = 0x82
CONTROL: Final = (0x88, 0x89, 0x8A)  # close, ping, pong

_FIRST: Final = frozenset({TEXT, BINARY, *CONTROL})
_MASK: Final = 4
_MASKED: Final = 0x80
_MEDIUM: Final = 126  # lengths up to here, and what says that the length has two bytes of its own
_LONG: Final = 127
_HEAD: Final = Struct("!BB")
_MEDIUM_HEAD: Final = Struct("!BBH")
_LONG_HEAD: Final = Struct("!BBQ")


class Unusual(Exception):
    """A frame that this does not read: part of a message, a server's, long or wrong."""


def pack(first: int, payload: bytes, mask: bytes = b"") -> bytes:
    """Make a frame. `mask`: four bytes that nobody can foresee, of a client; a server's frames have none."""
    size, masked = len(payload), 0
    if mask:
        payload, masked = apply_mask(payload, mask), _MASKED
    if size < _MEDIUM:
        head = _HEAD.pack(first, size | masked)
    elif size < 1 << 16:
        head = _MEDIUM_HEAD.pack(first, _MEDIUM | masked, size)
    else:
        head = _LONG_HEAD.pack(first, _LONG | masked, size)
    return head + mask + payload


def find(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Look at the client's frame that begins at `at`: its first byte, and where its payload begins and ends.
    None while it is not complete. Raises `Unusual`."""
    size = len(data)
    if size - at < 2:
        return None
    first, length = data[at], data[at + 1] - _MASKED
    begins = at + 2 + _MASK
    if length < 0 or length == _LONG or first not in _FIRST:
        raise Unusual
    if length == _MEDIUM:
        if size - at < 4:
            return None
        length = data[at + 2] << 8 | data[at + 3]
        begins += 2
    ends = begins + length
    return (first, begins, ends) if ends <= size else None


def unmask(data: bytes, begins: int, ends: int) -> bytes:
    """The payload of a frame that `find` has found."""
    return apply_mask(data[begins:ends], data[begins - _MASK : begins])
