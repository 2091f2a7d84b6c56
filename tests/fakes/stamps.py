"""Words written into audio, so that a fake recogniser and a simulated ear know what was said, to the frame.

Each 20 ms frame of stamped mu-law carries 20 bytes in the lowest bits of its samples, 38 dB below the sound:
it stays speech for whoever listens, and it survives everything that passes mu-law on unchanged. Resampling,
mixing or another codec erases it.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

FRAME = 160
_SYNC = b"\xa7\x5c\x39\xe2"
_CHUNK = 10  # characters of the word in a frame; longer words take turns
_BITS = bytes.maketrans(bytes(range(256)), bytes(ord("0") + (code & 1) for code in range(256)))
_SYNC_BITS = "".join(f"{byte:08b}" for byte in _SYNC).encode()


@dataclass(frozen=True, slots=True)
class Stamp:
    """Frame `frame` of `frames` of a word. `utterance` and `word` count modulo 256."""

    utterance: int
    word: int
    frame: int
    frames: int
    length: int
    part: int
    text: str


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word found in audio. `share` of its frames were there; `end` is the byte after the last of them."""

    utterance: int
    word: int
    text: str
    share: float
    start: int
    end: int


def stamp(audio: bytes, text: str, utterance: int, word: int, frames: int, first: int = 0) -> bytes:
    """Write one word into whole frames of its sound: frames `first`, `first + 1`, … of `frames`."""
    letters = text.encode("ascii", "replace")[:255]
    parts = max(1, -(-len(letters) // _CHUNK))
    data = bytearray()
    for number in range(len(audio) // FRAME):
        frame = first + number
        part = frame % parts
        body = bytes((utterance & 255, word & 255, frame & 255, frames & 255, len(letters)))
        body += letters[part * _CHUNK :][:_CHUNK].ljust(_CHUNK, b"\0")
        data += _SYNC + body + bytes((zlib.crc32(body) & 255,))
    sound = np.frombuffer(audio, np.uint8).copy()
    bits = np.unpackbits(np.frombuffer(bytes(data), np.uint8))
    sound[: len(bits)] = sound[: len(bits)] & np.uint8(0xFE) | bits
    return sound.tobytes()


class Reader:
    """Finds stamps in audio that comes in pieces of any length."""

    def __init__(self) -> None:
        self.at = 0  # bytes read so far
        self._rest = b""

    def feed(self, audio: bytes) -> Iterator[tuple[int, Stamp]]:
        """Yield the stamps that are complete now, each with the byte its frame begins at."""
        bits = self._rest + audio.translate(_BITS)
        base = self.at - len(self._rest)
        self.at += len(audio)
        place = 0
        while (found := bits.find(_SYNC_BITS, place)) >= 0 and found + FRAME <= len(bits):
            data = int(bits[found : found + FRAME], 2).to_bytes(20)
            if zlib.crc32(data[4:19]) & 255 != data[19]:
                place = found + 1
                continue
            length = data[8]
            part = data[6] % max(1, -(-length // _CHUNK))
            text = data[9:19][: length - part * _CHUNK].decode("ascii")
            yield base + found, Stamp(data[4], data[5], data[6], data[7], length, part, text)
            place = found + FRAME
        keep = found if found >= 0 else max(place, len(bits) - len(_SYNC_BITS) + 1)
        self._rest = bits[keep:]


class Words:
    """Puts stamps together to words, in the order they are heard."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._found: list[_Word] = []

    def feed(self, audio: bytes) -> bool:
        """Take audio; True when there was something in it."""
        found = False
        for at, mark in self._reader.feed(audio):
            last = self._found[-1] if self._found else None
            if last is None or (last.utterance, last.word) != (mark.utterance, mark.word):
                last = _Word(mark.utterance, mark.word, mark.frames, mark.length, at)
                self._found.append(last)
            last.seen.add(mark.frame)
            last.parts[mark.part] = mark.text
            last.end = at + FRAME
            found = True
        return found

    def heard(self, least: float = 0.5) -> list[HeardWord]:
        """The words of which at least this share of the frames was there."""
        return [
            HeardWord(word.utterance, word.word, word.text, word.share, word.start, word.end)
            for word in self._found
            if word.share >= least
        ]

    def text(self, least: float = 0.5) -> str:
        return " ".join(word.text for word in self.heard(least))

    def forget(self) -> None:
        """Begin anew; a word that is half heard is lost."""
        self._found.clear()


class _Word:
    def __init__(self, utterance: int, word: int, frames: int, length: int, start: int) -> None:
        self.utterance, self.word, self.frames, self.length = utterance, word, frames, length
        self.start = self.end = start
        self.seen: set[int] = set()
        self.parts: dict[int, str] = {}

    @property
    def share(self) -> float:
        return len(self.seen) / max(1, self.frames)

    @property
    def text(self) -> str:
        count = max(1, -(-self.length // _CHUNK))
        return "".join(self.parts.get(part, "?" * _CHUNK) for part in range(count))[: self.length]
