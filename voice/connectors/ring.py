"""The caller's audio that no final covers yet: a service that takes over hears it again."""

from typing import Final

from voice.audio import AudioFormat

PRE_ROLL: Final = 2000.0  # ms kept while nobody is known to speak: a voice is noticed late
LONGEST: Final = 60_000.0  # ms: what is older is given up


class Ring:
    """Audio by its position: bytes since the call began."""

    def __init__(self, format: AudioFormat) -> None:
        self._audio = bytearray()
        self._pre_roll = format.size(PRE_ROLL)
        self._longest = format.size(LONGEST)
        self.start = 0

    @property
    def end(self) -> int:
        return self.start + len(self._audio)

    def push(self, audio: bytes, *, idle: bool) -> None:
        """Append. While `idle`, only the pre-roll is kept, give or take as much again."""
        self._audio += audio
        keep = self._pre_roll if idle else self._longest
        if len(self._audio) > keep + self._pre_roll:
            self.settle(self.end - keep)

    def settle(self, position: int) -> None:
        """Forget what is before a position."""
        drop = min(max(position - self.start, 0), len(self._audio))
        del self._audio[:drop]
        self.start += drop

    def since(self, position: int) -> bytes:
        """Return what is kept from a position on."""
        return bytes(self._audio[max(position - self.start, 0) :])
