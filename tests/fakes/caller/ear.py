"""What the caller really hears: the carrier's buffer on a virtual clock.

Audio is played in the order it came, at once or when what is before it has been played; a mark comes back when
that is so; `clear` ends the sound in the middle of a sample and sends all marks back. Times are
`time.monotonic()` seconds.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fakes.stamps import Words

from .g711 import RATE

_SAME = 0.004  # a gap shorter than this is none


@dataclass(slots=True)
class Piece:
    """Audio that is played from `start` on."""

    start: float
    audio: bytes

    @property
    def end(self) -> float:
        return self.start + len(self.audio) / RATE


@dataclass(frozen=True, slots=True)
class Heard:
    """A word the caller heard, with the moment its sound began and ended."""

    text: str
    share: float
    start: float
    end: float
    utterance: int
    word: int


@dataclass(slots=True)
class Sound:
    """An uninterrupted stretch of audio in the caller's ear."""

    start: float
    end: float


class Ear:
    def __init__(self) -> None:
        self.sounds: list[Sound] = []
        self.heard_bytes = 0
        self._coming: deque[Piece] = deque()
        self._played: deque[Piece] = deque(maxlen=60)  # for the echo
        self._marks: deque[tuple[float, str]] = deque()
        self._end = 0.0
        self._words = Words()
        self._places: list[int] = []  # first byte of each piece, and its moment
        self._moments: list[float] = []

    def audio(self, at: float, audio: bytes) -> None:
        """Audio reaches the carrier."""
        self.settle(at)
        piece = Piece(max(at, self._end), audio)
        self._coming.append(piece)
        self._end = piece.end

    def mark(self, at: float, name: str) -> float:
        """A mark reaches the carrier; returns when it will be sent back, if nothing is cleared before."""
        due = max(at, self._end)
        self._marks.append((due, name))
        return due

    def reached(self, at: float) -> list[str]:
        """Take the marks whose audio has been played by now."""
        found = []
        while self._marks and self._marks[0][0] <= at + 0.0006:
            found.append(self._marks.popleft()[1])
        return found

    def clear(self, at: float) -> list[str]:
        """Silence at once; returns the marks that come back for it."""
        self.settle(at)
        for piece in self._coming:
            if piece.start < at:
                self._hear(Piece(piece.start, piece.audio[: round((at - piece.start) * RATE)]))
        self._coming.clear()
        self._end = min(self._end, at)
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names

    def settle(self, at: float) -> None:
        """Hear everything that has been played by now."""
        while self._coming and self._coming[0].end <= at:
            self._hear(self._coming.popleft())

    def playing(self, at: float) -> bool:
        """Whether the caller hears the agent at this moment."""
        self.settle(at)
        return bool(self._coming) and self._coming[0].start <= at

    def silent_since(self, at: float) -> float:
        """When the sound that was last heard ended; `at` while there is one, 0 when there never was."""
        if self.playing(at):
            return at
        return self.sounds[-1].end if self.sounds else 0.0

    def heard_ms(self, since: float, at: float) -> float:
        """How long the agent was heard between two moments."""
        self.settle(at)
        total = sum(max(0.0, sound.end - max(sound.start, since)) for sound in self.sounds[-20:])
        if self._coming and self._coming[0].start < at:
            total += at - max(self._coming[0].start, since)
        return total * 1000

    def words(self, since: float = 0.0, until: float = float("inf"), least: float = 0.5) -> Iterator[Heard]:
        """The stamped words that began between two moments, as far as they were heard."""
        for word in self._words.heard(least):
            start = self._moment(word.start)
            if since <= start < until:
                yield Heard(
                    word.text, word.share, start, self._moment(word.end - 1), word.utterance, word.word
                )

    def between(self, start: float, count: int) -> bytes:
        """What was played in so many samples from `start` on: silence where nothing was. For the echo."""
        out = bytearray(b"\xff" * count)
        for pieces in (self._played, self._coming):
            for piece in pieces:
                offset = round((piece.start - start) * RATE)
                if -len(piece.audio) < offset < count:
                    source = piece.audio[max(0, -offset) : count - offset]
                    out[max(0, offset) : max(0, offset) + len(source)] = source
        return bytes(out)

    def _hear(self, piece: Piece) -> None:
        if not piece.audio:
            return
        self._places.append(self.heard_bytes)
        self._moments.append(piece.start)
        self._words.feed(piece.audio)
        self.heard_bytes += len(piece.audio)
        self._played.append(piece)
        if self.sounds and piece.start - self.sounds[-1].end < _SAME:
            self.sounds[-1].end = piece.end
        else:
            self.sounds.append(Sound(piece.start, piece.end))

    def _moment(self, byte: int) -> float:
        index = bisect_right(self._places, byte) - 1
        return self._moments[index] + (byte - self._places[index]) / RATE
