"""How a call is ended from our side: nobody speaks, it lasts too long, or it cannot go on. Times in ms."""

import asyncio
from typing import Final

from .exchanges import Exchanges
from .phrases import phrases
from .setting import Setting
from .turn import Turn

_FAREWELL_SECONDS: Final = 10.0  # whatever happens to the last sentence


class Ending:
    def __init__(self, setting: Setting, exchanges: Exchanges) -> None:
        self._setting = setting
        self._exchanges = exchanges
        self._last: tuple[Turn, str] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._asked = False
        self.quiet_from = setting.now()  # nobody has spoken since

    @property
    def begun(self) -> bool:
        """The last sentence is being said: nothing else is."""
        return self._last is not None

    def active(self, now: float) -> None:
        """The caller is there."""
        self.quiet_from = now
        self._asked = False

    @property
    def idle_at(self) -> float:
        """When it has been quiet for too long."""
        return self.quiet_from + self._setting.config().turn.idle_seconds * 1000

    def idle(self) -> None:
        """It has been: ask once, then hang up."""
        if self._asked:
            self.farewell("idle", self._goodbye())
        else:
            self._asked = True
            self._exchanges.say(phrases(self._setting.config().language).still_there)

    def too_long(self) -> None:
        """The call has lasted as long as it may."""
        self.farewell("max_duration", self._goodbye())

    def deaf(self) -> None:
        """We cannot hear the caller any more."""
        self.farewell("failed", phrases(self._setting.config().language).trouble)

    def farewell(self, reason: str, text: str) -> None:
        """Say a last sentence, then end the call."""
        if self.begun:
            return
        self._exchanges.interrupt(self._setting.now())
        self._last = (self._exchanges.say(text, fixed=True), reason)
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(_FAREWELL_SECONDS, self._setting.end, reason)

    def turn_over(self, now: float, turn: Turn) -> None:
        self.quiet_from = max(self.quiet_from, now)
        if self._last is not None and self._last[0] is turn:
            self._setting.end(self._last[1])

    def close(self) -> None:
        if self._limit is not None:
            self._limit.cancel()

    def _goodbye(self) -> str:
        config = self._setting.config()
        return config.turn.goodbye or phrases(config.language).goodbye
