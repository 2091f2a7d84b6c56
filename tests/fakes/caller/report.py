"""What a simulated call showed."""

from dataclasses import dataclass, field

from .carrier import Instructions
from .ear import Heard


@dataclass
class Exchange:
    """Something the caller said, and what came of it. Times are `time.monotonic()` seconds at the service's
    edge (the socket), where nothing else is said."""

    said: str
    interrupting: bool = False
    began: float = 0.0  # the caller's mouth opened, at the caller's
    first_sent: float = 0.0
    last_sent: float = 0.0  # the last frame with speech left the socket
    first_answer: float | None = None  # the first frame of the agent after that
    clear: float | None = None  # `clear` came
    silent: float | None = None  # the caller heard nothing more, at the caller's ear
    frames_after_clear: int = 0
    stopped: list[Heard] = field(default_factory=list)  # the words heard of what was interrupted

    @property
    def latency_ms(self) -> float | None:
        """The turn at our edge: last frame of speech → first frame of the answer."""
        return None if self.first_answer is None else (self.first_answer - self.last_sent) * 1000

    @property
    def silence_ms(self) -> float | None:
        """Barge-in on the playout clock: mouth open → nothing heard."""
        return None if self.silent is None else (self.silent - self.began) * 1000

    @property
    def clear_ms(self) -> float | None:
        return None if self.clear is None else (self.clear - self.first_sent) * 1000


@dataclass
class Report:
    """One call, from the first ring to the last status callback."""

    call_sid: str
    to: str
    caller: str
    instructions: Instructions | None = None
    refused: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    connected_ms: float = 0.0  # ring → stream open
    greeting_ms: float | None = None  # start → first frame
    seconds: float = 0.0
    frames_in: int = 0  # media messages from the agent
    frames_out: int = 0
    dropped: int = 0
    marks: int = 0
    clears: int = 0
    unknown: list[str] = field(default_factory=list)
    gave_up: bool = False  # what the script waited for did not come
    hung_up_by: str = ""  # caller, agent
    close_code: int = 0
    gaps: list[tuple[float, float]] = field(default_factory=list)  # the agent's silences, at the caller's ear
    words: list[Heard] = field(default_factory=list)  # everything the caller heard, where it is stamped

    @property
    def latencies_ms(self) -> list[float]:
        return [e.latency_ms for e in self.exchanges if e.latency_ms is not None and not e.interrupting]

    @property
    def gaps_ms(self) -> list[float]:
        return [(end - start) * 1000 for start, end in self.gaps]

    @property
    def heard(self) -> str:
        return " ".join(word.text for word in self.words)
