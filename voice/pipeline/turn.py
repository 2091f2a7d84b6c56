"""One exchange while it lasts: what was said, what of it was heard, and how long everything took."""

from dataclasses import dataclass, field

from voice.config import SessionConfig

from .history import Line
from .ports import TurnRecord
from .speculation import Answer
from .words import whole_words


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause as it is spoken, at `start` in the turn's text, and as the agent wrote it: an outward stage
    (a translation) may stand between the two."""

    start: int
    spoken: str
    written: str

    @property
    def end(self) -> int:
        return self.start + len(self.spoken)


@dataclass(slots=True)
class Turn:
    """`voice_end`: the caller's last sound (clock, ms), or for a turn without a caller its beginning."""

    number: int
    config: SessionConfig
    voice_end: float
    started_at: float  # seconds since the epoch
    caller_text: str = ""
    note: bool = False
    scripted: bool = False  # the call speaks by itself: a greeting, a question, a goodbye
    fixed: bool = False  # nothing interrupts it
    clauses: list[Clause] = field(default_factory=list)
    latencies: dict[str, float] = field(default_factory=dict)
    audible: bool = False  # some audio has been queued
    speculative: bool = False
    interrupted: bool = False
    stt: str = ""
    tts: str = ""
    model: str = ""
    cost: float = 0.0
    error: str = ""
    answer: Answer | None = None
    line: Line | None = None  # the caller's, in the history

    def stamp(self, stage: str, now: float) -> None:
        """Note when a stage was reached, the first time. Nobody waits for what the call says unasked."""
        if self.caller_text and not self.scripted:
            self.latencies.setdefault(stage, round(now - self.voice_end, 2))

    def say(self, spoken: str, written: str) -> int:
        """Add a clause; returns where it begins."""
        start = self.clauses[-1].end if self.clauses else 0
        self.clauses.append(Clause(start, spoken, written))
        return start

    @property
    def spoken(self) -> str:
        return "".join(clause.spoken for clause in self.clauses)

    def heard_text(self, heard: int) -> str:
        """What the caller heard, of `heard` characters."""
        return whole_words(self.spoken, heard)

    def heard_as_written(self, heard: int) -> str:
        """The same in the agent's own words. Of a clause in another language, a proportional part."""
        parts: list[str] = []
        for clause in self.clauses:
            if heard >= clause.end:
                parts.append(clause.written)
                continue
            inside = heard - clause.start
            if inside > 0:
                if clause.written != clause.spoken:
                    inside = round(inside * len(clause.written) / len(clause.spoken))
                parts.append(whole_words(clause.written, inside))
            break
        return "".join(parts).rstrip()

    def record(self, heard: int) -> TurnRecord:
        return TurnRecord(
            number=self.number,
            caller_text=self.caller_text,
            reply_text=self.spoken.rstrip(),
            heard_text=self.heard_text(heard).rstrip(),
            interrupted=self.interrupted,
            speculative=self.speculative,
            note=self.note,
            latencies=dict(self.latencies),
            stt=self.stt,
            tts=self.tts,
            model=self.model,
            cost=self.cost,
            config_version=self.config.version,
            started_at=self.started_at,
            error=self.error[:500],
        )
