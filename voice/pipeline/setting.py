"""What every part of one call shares."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voice.audio import AudioFormat
from voice.config import SessionConfig
from voice.connectors.base import Speaker

from .guide import Guide
from .playout import Playout
from .ports import CallLog, LineControl, Responder, TextStage
from .tasks import Tasks


@dataclass(slots=True)
class Setting:
    """`config` is asked at each turn; `clock` is monotonic, in seconds; `wall` is the time of day.

    `end` ends the call, from anywhere; `failed` does so because of an error.
    """

    config: Callable[[], SessionConfig]
    speaker: Callable[[SessionConfig], Speaker]
    stages: Callable[[SessionConfig], Mapping[str, TextStage]]
    responder: Responder
    format: AudioFormat
    playout: Playout
    log: CallLog
    line: LineControl | None
    tasks: Tasks
    clock: Callable[[], float]
    end: Callable[[str], None]
    failed: Callable[[str], None]
    outbound: bool = False
    guide: Guide | None = None  # who leads the dialog, if it is scripted
    wall: Callable[[], float] = time.time

    def now(self) -> float:
        """The clock in milliseconds."""
        return self.clock() * 1000
