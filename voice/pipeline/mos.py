"""Listening quality as a number: the E-model (ITU-T G.107), fed with what we can see. An estimate."""

from dataclasses import dataclass
from typing import Final

_BEST: Final = 93.2  # the rating of a flawless narrow-band connection with G.107's default values
_ROBUSTNESS: Final = 25.1  # G.711 with concealment of lost frames (G.113, appendix I)
_PATIENCE_MS: Final = 60.0  # later than this after the fastest frame, a frame misses its turn
_ENOUGH_MS: Final = 2000.0
# How fast the fastest frame may grow slower: clocks that say when a frame was due differ by so much; where nothing
# says it, the far end's pace is all there is, and a microphone's may be some per cent off.
_DRIFT_TOLD: Final = 1e-4
_DRIFT_UNTOLD: Final = 0.1
_PAUSE_MS: Final = (
    1000.0  # without timestamps, a frame that late is no frame of before: the far end had stopped
)


def estimate(
    *, loss: float, delay_ms: float = 0.0, burst_ratio: float = 1.0, impairment: float = 0.0
) -> float:
    """Return the mean opinion score, 1 to 4.5, of G.711 with `loss` (0-1) of its frames late or missing,
    `delay_ms` mouth to ear, and a codec's equipment impairment (0 for G.711)."""
    percent = 100 * min(1.0, max(0.0, loss))
    delay = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - 177.3)
    equipment = impairment + (95 - impairment) * percent / (percent / max(1.0, burst_ratio) + _ROBUSTNESS)
    rating = _BEST - delay - equipment
    if rating <= 0:
        return 1.0
    rating = min(100.0, rating)
    return max(1.0, 1 + 0.035 * rating + 7e-6 * rating * (rating - 60) * (100 - rating))


@dataclass(slots=True)
class LineQuality:
    """One call's. Counts what came late, never came, or was heard as a gap."""

    inbound_ms: float = 0.0
    late_ms: float = 0.0
    late_frames: int = 0
    missing_ms: float = 0.0
    outbound_ms: float = 0.0
    underrun_ms: float = 0.0
    underruns: int = 0
    round_trip_ms: float = 0.0  # the latest, where the transport or its marks tell
    reported_loss: float = 0.0  # 0-1, what the far end says of our audio (RTCP)
    _expected: float | None = None  # the next frame's timestamp
    _fastest: float | None = None  # arrival minus timestamp, of the least delayed frames

    def inbound(self, duration_ms: float, at_ms: float, timestamp_ms: float | None = None) -> None:
        """A frame came at `at_ms` by our clock; `timestamp_ms` is the transport's own, where it has one."""
        expected = self._expected
        begins = timestamp_ms if timestamp_ms is not None else (0.0 if expected is None else expected)
        transit = at_ms - begins
        told = timestamp_ms is not None
        if (
            self._fastest is None
            or transit < self._fastest
            or (not told and transit - self._fastest > _PAUSE_MS)
        ):
            self._fastest = transit
        else:
            self._fastest += duration_ms * (_DRIFT_TOLD if told else _DRIFT_UNTOLD)
        self.inbound_ms += duration_ms
        disordered = expected is not None and begins < expected - duration_ms / 2
        if disordered:
            self.missing_ms = max(0.0, self.missing_ms - duration_ms)  # it was counted as missing
        elif expected is not None and begins > expected + duration_ms / 2:
            self.missing_ms += begins - expected
        if disordered or transit - self._fastest > _PATIENCE_MS:
            self.late_ms += duration_ms
            self.late_frames += 1
        if not disordered:
            self._expected = begins + duration_ms

    def underrun(self, milliseconds: float) -> None:
        """The caller heard nothing for so long where the agent had not finished."""
        self.underruns += 1
        self.underrun_ms += milliseconds

    def outbound(self, milliseconds: float) -> None:
        """So much was sent to the caller."""
        self.outbound_ms += milliseconds

    def mos(self) -> float | None:
        """Return the worse direction's score. None before two seconds of audio."""
        scores = []
        delay = self.round_trip_ms / 2
        heard = self.inbound_ms + self.missing_ms
        if heard >= _ENOUGH_MS:
            scores.append(estimate(loss=(self.late_ms + self.missing_ms) / heard, delay_ms=delay))
        said = self.outbound_ms + self.underrun_ms
        if said >= _ENOUGH_MS:
            loss = max(self.underrun_ms / said, self.reported_loss)
            scores.append(estimate(loss=loss, delay_ms=delay))
        return round(min(scores), 2) if scores else None
