"""What is to be said in a turn, clause by clause, and what was sent of it."""

import asyncio

from .far_end import Run
from .spoken import Spoken


class Attempt:
    """One voice's audio of a clause. There is a second one when another voice had to begin it anew."""

    __slots__ = ("clause", "ended", "pending", "sent_from", "sent_ms", "spoken", "taken", "text_start")

    def __init__(self, clause: int, text_start: int, spoken: Spoken) -> None:
        self.clause = clause
        self.text_start = text_start
        self.spoken = spoken
        self.pending = bytearray()
        self.ended = False
        self.sent_from: float | None = None  # position of its first sample
        self.sent_ms = 0.0
        self.taken = 0  # bytes

    def take(self, count: int) -> bytes:
        taken = bytes(self.pending[:count])
        del self.pending[:count]
        self.taken += len(taken)
        return taken

    def heard(self, position: float) -> int:
        if self.sent_from is None or position <= self.sent_from:
            return 0
        offset = self.spoken.offset(min(self.sent_ms, position - self.sent_from))
        return self.text_start + offset if offset else 0


class QueuedTurn:
    """What is to be said in a turn, and what was."""

    def __init__(self) -> None:
        self.queue: list[Attempt] = []  # by number of the clause
        self.sent: list[Attempt] = []  # at least begun
        self.ended = False
        self.dropped = False
        self.sent_to = 0.0  # position
        self.cut: Run | None = None  # what the far end was playing of it when it was cleared
        self.over = asyncio.Event()  # nothing more of it will be sent
        self.gone = asyncio.Event()  # it was dropped

    def attempt(self, clause: int) -> Attempt | None:
        """The clause as it is being queued."""
        return next((attempt for attempt in self.queue if attempt.clause == clause), None)

    def enqueue(self, attempt: Attempt) -> None:
        self.queue.append(attempt)
        self.queue.sort(key=lambda each: each.clause)

    def current(self) -> Attempt | None:
        """The first clause that is not completely sent."""
        while self.queue and self.queue[0].ended and not self.queue[0].pending:
            self.queue.pop(0)
        if not self.queue and self.ended:
            self.over.set()
        return self.queue[0] if self.queue else None

    def drop(self) -> None:
        self.queue.clear()
        self.ended = self.dropped = True
        self.over.set()
        self.gone.set()

    def heard(self, position: float) -> int:
        return max((attempt.heard(position) for attempt in self.sent), default=0)
