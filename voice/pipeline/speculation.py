"""Answers begun before the caller has finished: kept when the guess was right, else thrown away."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from .ports import ReplyPiece, ReplyText
from .tasks import Tasks
from .words import same

A_TURN: Final = 3


class Answer:
    """An answer that is being read as fast as it comes, so that nobody who speaks holds up the model."""

    def __init__(
        self, pieces: AsyncGenerator[ReplyPiece, None], clock_ms: Callable[[], float], tasks: Tasks
    ) -> None:
        self.first_token: float | None = None  # when it came (clock, ms)
        self.asked = ""  # what the agent was asked, after the stages before it
        self._clock_ms = clock_ms
        self._queue: asyncio.Queue[ReplyPiece | Exception | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = tasks.spawn(self._read(pieces), "answer")

    async def _read(self, pieces: AsyncGenerator[ReplyPiece, None]) -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if self.first_token is None and isinstance(piece, ReplyText) and piece.text.strip():
                        self.first_token = self._clock_ms()
                    self._queue.put_nowait(piece)
        except Exception as error:  # raised where it is read, or dropped with a wrong guess
            self._queue.put_nowait(error)
        self._queue.put_nowait(None)

    async def next(self, wait_ms: float | None) -> ReplyPiece | None:
        """Return the next piece, None at the end. Raises TimeoutError, and what the responder raised."""
        if self._queue.empty():
            async with asyncio.timeout(None if wait_ms is None else wait_ms / 1000):
                piece = await self._queue.get()
        else:
            piece = self._queue.get_nowait()
        if isinstance(piece, Exception):
            try:
                raise piece
            finally:
                del piece  # an error keeps its frames, and this one would keep the error
        return piece

    def cancel(self) -> None:
        """Stop the model. Idempotent."""
        # What was cancelled keeps its frames, and they hold us: nothing is to wait for the collector of garbage.
        task, self._task = self._task, None
        if task is not None:
            task.cancel()


class Speculation:
    """The guesses of one turn: one alive at a time. `begin` starts an answer that may still be thrown away;
    `on_dropped` is told of each that was."""

    def __init__(self, begin: Callable[[str], Answer], on_dropped: Callable[[], None]) -> None:
        self._begin = begin
        self._on_dropped = on_dropped
        self._guess: Answer | None = None
        self._text = ""
        self._version = 0
        self._left = A_TURN

    def offer(self, text: str, version: int) -> None:
        """The caller seems to have said `text`: begin to answer it, unless that has been done."""
        if self._guess is not None and self._version == version and same(text, self._text):
            return
        self.drop()
        if self._left:
            self._left -= 1
            self._text, self._version = text, version
            self._guess = self._begin(text)

    def heard(self, text: str) -> None:
        """The words are these now: a guess at others is thrown away."""
        if self._guess is not None and not same(text, self._text):
            self.drop()

    def take(self, text: str, version: int) -> Answer | None:
        """The turn is over. Return the answer to it, if the guess was right and nothing has changed."""
        guess = self._guess
        right = guess is not None and self._version == version and same(text, self._text)
        if right:
            self._guess = None
        self.drop()
        self._left = A_TURN
        return guess if right else None

    def drop(self) -> None:
        if self._guess is not None:
            self._guess.cancel()
            self._guess = None
            self._on_dropped()
