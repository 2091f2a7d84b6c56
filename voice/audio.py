"""What audio is here: a format and its arithmetic. Pure; every part of voice may use it."""

from dataclasses import dataclass
from typing import Final, Literal

Encoding = Literal["mulaw", "pcm16"]


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Mono audio without a header. `pcm16` is signed, little-endian; `rate` is in samples per second."""

    encoding: Encoding
    rate: int

    @property
    def width(self) -> int:
        """Bytes a sample."""
        return 1 if self.encoding == "mulaw" else 2

    def size(self, milliseconds: float) -> int:
        """Bytes of whole samples that last so long."""
        return int(self.rate * milliseconds / 1000) * self.width

    def duration(self, size: int) -> float:
        """Milliseconds that so many bytes last."""
        return size / self.width / self.rate * 1000

    @property
    def silence(self) -> bytes:
        """One sample of silence. In mu-law a zero byte would be the loudest sample there is."""
        return b"\xff" if self.encoding == "mulaw" else b"\0\0"


TELEPHONE: Final = AudioFormat("mulaw", 8000)
WIDE_BAND: Final = AudioFormat("pcm16", 16_000)
STUDIO: Final = AudioFormat("pcm16", 24_000)
