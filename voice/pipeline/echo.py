"""How loud a caller must be to count, while the agent's own voice may come back.

The threshold is the delayed outbound level, less what the echo is known to lose, and 6 dB more.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from .mulaw import SILENT_DB

FLOOR_DB: Final = -50.0
MARGIN_DB: Final = 6.0
WINDOW_MS: Final = 32
_LAGS: Final = 16  # windows: an echo comes back within half a second
_AUDIBLE_DB: Final = FLOOR_DB - MARGIN_DB  # what is sent more quietly asks for no more than the floor
_FIRST_LOSS_DB: Final = 20.0
_EVERY: Final = 8  # windows; 32 cost less and let three times as many echoes through
_MEMORY: Final = 0.985  # of a window: two seconds
_FADED: Final = _MEMORY**_EVERY
_WEIGHTS: Final = _MEMORY ** np.arange(_EVERY - 1, -1, -1)
_ALIKE: Final = 0.6
_RATE: Final = 0.5
_MOST_LOSS_DB: Final = 70.0
_NO_ECHO_DB: Final = 60.0  # a loss that leaves nothing of the loudest voice
# Windows before an echo is believed to be fainter than at first: its onset looks fainter.
_TRUSTED: Final = 40


class EchoGuard:
    """One call's. Learns the echo's delay and loss from what was sent and what came back."""

    def __init__(self, outbound_level_db: Callable[[float], float]) -> None:
        """`outbound_level_db`: `Playout.outbound_level_db`."""
        self.loss_db = _FIRST_LOSS_DB  # how much quieter the echo is than what was sent, at least
        self.delay_ms: float | None = None  # None while what comes in does not follow what goes out
        self._outbound = outbound_level_db
        self._recent = [SILENT_DB] * _LAGS  # a window each, newest first
        self._audible = 0  # for so many windows more, what was sent may come back
        self._sent: list[tuple[float, ...]] = []  # windows not learnt from: dB per lag …
        self._heard: list[float] = []  # … and what came in
        self._seen = 0
        self._skipped = 0  # batches since the last one that was added up
        self._weight = 0.0
        self._inbound = np.zeros(2)  # decaying sums: amplitude, its square
        self._sums = np.zeros((3, _LAGS))  # per lag: outbound amplitude, its square, times inbound

    def window(self, at_ms: float, level_db: float) -> float:
        """Take every window's level, 32 ms each, in their order. Returns the level above which this one is the
        caller and not the echo: the delayed outbound echo estimate + 6 dB, at least the floor."""
        sent = self._outbound(at_ms)
        if sent > _AUDIBLE_DB:
            self._audible = _LAGS
        elif self._audible:
            self._audible -= 1
        else:
            return FLOOR_DB
        recent = self._recent
        recent.pop()
        recent.insert(0, sent)
        threshold = max(FLOOR_DB, self._loudest() - self.loss_db + MARGIN_DB)
        self._sent.append(tuple(recent))
        self._heard.append(level_db)
        if len(self._sent) == _EVERY:
            if self._nothing_comes_back():
                self._skipped += 1
            else:
                self._add_up()
                self._learn()
            self._sent.clear()
            self._heard.clear()
        return threshold

    def _nothing_comes_back(self) -> bool:
        """Whether silence has nothing to teach: it is known that this line has no echo to speak of."""
        return self.delay_ms is None and self.loss_db >= _NO_ECHO_DB and max(self._heard) < _AUDIBLE_DB

    def _loudest(self) -> float:
        """Of what may come back at this moment."""
        if self.delay_ms is None:
            return max(self._recent)
        lag = int(self.delay_ms // WINDOW_MS)
        return max(self._recent[max(0, lag - 1) : lag + 2])

    def _add_up(self) -> None:
        """Take the windows that are not learnt from into the sums, older ones with less weight."""
        sent = 10 ** (np.array(self._sent) / 20)
        heard = 10 ** (np.array(self._heard) / 20)
        faded = _FADED ** (1 + self._skipped)
        self._skipped = 0
        self._sums *= faded
        self._sums += (_WEIGHTS @ sent, _WEIGHTS @ (sent * sent), (_WEIGHTS * heard) @ sent)
        self._inbound *= faded
        self._inbound += (_WEIGHTS @ heard, _WEIGHTS @ (heard * heard))
        self._weight = self._weight * faded + _WEIGHTS.sum()
        self._seen += _EVERY

    def _learn(self) -> None:
        mean, power = self._inbound / self._weight
        out, out_power, both = self._sums / self._weight
        spread = np.maximum(out_power - out * out, 1e-12)
        covariance = both - out * mean
        likeness = covariance / np.sqrt(spread * max(power - mean * mean, 1e-18))
        best = int(likeness.argmax())
        if likeness[best] > _ALIKE:
            # The caller's own words are unlike the agent's, so they do not move the slope.
            self.delay_ms = best * WINDOW_MS
            loss = -20 * float(np.log10(max(covariance[best] / spread[best], 1e-4)))
        else:
            self.delay_ms = None
            loss = 10 * float(np.log10(out_power.max() / max(power, 1e-12)))
            loss = max(loss, self.loss_db)  # it may be the caller that was loud
        if loss < self.loss_db or self._seen >= _TRUSTED:
            self.loss_db += (min(_MOST_LOSS_DB, max(0.0, loss)) - self.loss_db) * _RATE
