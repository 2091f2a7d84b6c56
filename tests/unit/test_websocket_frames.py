"""Frames that are made here are read by the package that all others are read by."""

import secrets

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol, State

from voice.websocket_frames import BINARY, TEXT, Unusual, find, pack, unmask

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)


def read(side: object, data: bytes) -> list[Frame]:
    protocol = Protocol(side, state=State.OPEN, max_size=None)  # type: ignore[arg-type]
    protocol.receive_data(data)
    assert protocol.parser_exc is None
    return [event for event in protocol.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("first", "opcode"), [(TEXT, Opcode.TEXT), (BINARY, Opcode.BINARY)])
def test_frames_of_all_lengths_are_understood(size: int, first: int, opcode: Opcode) -> None:
    payload = b"x" * size if first == TEXT else secrets.token_bytes(size)
    for side, mask in ((CLIENT, b""), (SERVER, secrets.token_bytes(4))):
        data = pack(first, payload, mask)
        [frame, second] = read(side, data + pack(first, b"y", mask))
        assert (frame.opcode, frame.fin, bytes(frame.data)) == (opcode, True, payload)
        assert bytes(second.data) == b"y"


@pytest.mark.parametrize("size", [size for size in SIZES if size < 1 << 16])
def test_a_frame_is_found_when_it_is_complete(size: int) -> None:
    payload = secrets.token_bytes(size)
    data = b"?" + Frame(Opcode.BINARY, payload).serialize(mask=True)
    for end in {1, 2, 3, 4, 6, len(data) - 1}:
        assert find(data[:end], 1) is None
    found = find(data + b"more", 1)
    assert found is not None
    first, begins, ends = found
    assert (first, ends) == (BINARY, len(data))
    assert unmask(data, begins, ends) == payload


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Opcode.TEXT, b"begins", fin=False).serialize(mask=True),
        Frame(Opcode.CONT, b"goes on").serialize(mask=True),
        Frame(Opcode.TEXT, b"a server's").serialize(mask=False),
        Frame(Opcode.BINARY, bytes(1 << 16)).serialize(mask=True),
    ],
    ids=("begins", "goes on", "a server's", "long"),
)
def test_other_frames_are_left_to_others(frame: bytes) -> None:
    with pytest.raises(Unusual):
        find(frame, 0)
