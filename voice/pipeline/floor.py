"""Where a dialog and its caller take turns: what is said to them, and what comes back. Times in ms."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from .answers import is_complete, takes_keys, takes_speech, understood
from .ending import Ending
from .exchanges import Exchanges
from .guide import Ask
from .setting import Setting
from .turn import Turn

_LOOK_MS: Final = 250.0  # while the caller is speaking or keying
_FLOOR_MS: Final = 6000.0  # so long a caller may talk before the next prompt begins anyway
NOISES: Final = 2  # prompts are said again so often when a mere sound cut them short


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of the caller. `noise`: something cut the prompt short, and nobody spoke."""

    kind: Literal["speech", "keys", "unclear", "noise", "silence"]
    text: str = ""


class Floor:
    """One call's. The plain methods are told by the conversation, the coroutines are the script's.

    `busy` tells whether the caller is speaking or keying. While not `led` nothing is taken from the caller.
    """

    def __init__(
        self, setting: Setting, exchanges: Exchanges, ending: Ending, *, busy: Callable[[], bool]
    ) -> None:
        self._setting = setting
        self._exchanges = exchanges
        self._ending = ending
        self._busy = busy
        self._news = asyncio.Event()
        self._turn: Turn | None = None  # ours, while it is being said
        self._ask: Ask | None = None  # what an answer is awaited to
        self._answer: Heard | None = None
        self._quiet_from = 0.0
        self.led = setting.guide is not None
        self.heard_text = ""  # of what was said last
        self.early: Heard | None = None  # said or keyed before it was asked for
        self.said = ""  # by the caller; what is said next is the reply to it

    # ---- what the conversation tells ------------------------------------------------------------

    def active(self, now: float) -> None:
        """The caller is there."""
        self._quiet_from = now

    def expects(self, text: str) -> bool:
        """Tell whether these words are an answer even while the question is being asked."""
        ask, turn = self._ask, self._exchanges.turn
        return (
            ask is not None
            and bool(ask.choices)
            and turn is not None
            and turn is self._turn
            and self._may_interrupt(turn)
            and understood(ask, text=text) is not None
        )

    def takes(self, text: str) -> bool:
        """Take what the caller said, while a dialog is led."""
        if not self.led:
            return False
        if self._ask is not None and not takes_speech(self._ask):
            return True
        self.said = f"{self.said} {text}".strip()
        self._offer(Heard("speech", text))
        return True

    def takes_keys(self, digits: str) -> bool:
        if not self.led:
            return False
        if self._ask is not None and not takes_keys(self._ask):
            return True
        self.said = f"{self.said} {digits}".strip()
        self._offer(Heard("keys", digits))
        return True

    def enough(self, pressed: str) -> bool:
        """Whether the keys pressed so far are the whole input."""
        return self.led and self._ask is not None and is_complete(self._ask, pressed)

    def not_understood(self, *, cut_short: bool) -> None:
        """The caller made a sound and no word; `cut_short`: it interrupted us."""
        self._offer(Heard("noise" if cut_short else "unclear"))

    def turn_over(self, turn: Turn, heard: str) -> None:
        if turn is self._turn:
            self._turn, self.heard_text = None, heard
        self._quiet_from = max(self._quiet_from, self._setting.now())
        self._news.set()

    def _may_interrupt(self, turn: Turn) -> bool:
        return not turn.fixed and self._setting.config().turn.interrupt != "never"

    def _offer(self, heard: Heard) -> None:
        self._quiet_from = self._setting.now()
        turn = self._exchanges.turn
        if turn is not None and self._may_interrupt(turn) and heard.kind in ("speech", "keys"):
            self._exchanges.interrupt(self._setting.now())
        if self._ask is None and heard.kind in ("speech", "keys"):
            self.early = heard
        self._answer = heard
        self._news.set()

    # ---- what the script does -------------------------------------------------------------------

    @property
    def engaged(self) -> bool:
        """Somebody is speaking, or the last sentence is being said."""
        return self._busy() or self._exchanges.turn is not None or self._ending.begun

    def hush(self) -> None:
        """What is being said is not for the caller any more."""
        if self._turn is not None and self._turn is self._exchanges.turn:
            self._exchanges.interrupt(self._setting.now())

    async def ask(self, ask: Ask, text: str) -> Heard:
        """Ask once; returns what was answered, or that nothing was."""
        self._ask, self._answer = ask, None
        try:
            await self.free()
            turn = await self._speak(text, fixed=not ask.interruptible) if self._answer is None else None
            while self._answer is None:
                now = self._setting.now()
                if turn is not None and self._turn is turn:
                    await self._moved(None)
                elif self._busy():
                    await self._moved(_LOOK_MS)
                elif (left := self._quiet_from + ask.wait_ms - now) > 0:
                    await self._moved(left)
                else:
                    return Heard("silence")
            return self._answer
        finally:
            self._ask = None

    async def say(self, text: str, *, fixed: bool = False) -> tuple[Turn, bool]:
        """Say something to its end, or until the caller really interrupts; a mere sound has it said again."""
        for _ in range(NOISES + 1):
            self._answer = None
            turn = await self._speak(text, fixed=fixed)
            while self._turn is turn:
                await self._moved(None)
            if not turn.interrupted:
                return turn, False
            if await self._interrupted_by() != "noise":
                return turn, False
        return turn, True

    async def _interrupted_by(self) -> str:
        """Wait until a caller who has interrupted has finished; returns what it was."""
        since = self._setting.now()
        while self._answer is None and (self._busy() or self._setting.now() - since < _LOOK_MS):
            await self._moved(_LOOK_MS)
        return self._answer.kind if self._answer is not None else "silence"

    async def _speak(self, text: str, *, fixed: bool = False) -> Turn:
        """Begin to say something, when nobody else is speaking."""
        await self.free()
        if self._ending.begun:
            await asyncio.Event().wait()  # the last sentence is being said; then the call is over
        said, self.said = self.said, ""
        self._turn = turn = self._exchanges.say(text, caller_text=said, fixed=fixed)
        return turn

    async def free(self) -> None:
        """Let a caller who is speaking finish, and then us."""
        until = self._setting.now() + _FLOOR_MS
        while self._busy() and self._setting.now() < until:
            await self._moved(_LOOK_MS)
        await self.rest()

    async def rest(self) -> None:
        """Wait until nothing is being said."""
        while self._exchanges.turn is not None:
            await self._moved(None)

    async def _moved(self, most_ms: float | None) -> None:
        """Wait for something to happen."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if most_ms is None else most_ms / 1000):
                await self._news.wait()
