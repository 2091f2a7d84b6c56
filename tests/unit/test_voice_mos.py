"""The estimate of a line's quality."""

import pytest

from voice.pipeline.mos import LineQuality, estimate


def test_it_rates_a_flawless_line_as_g107_does() -> None:
    assert estimate(loss=0) == pytest.approx(4.41, abs=0.01)


@pytest.mark.parametrize(("loss", "score"), [(0.01, 4.33), (0.05, 3.92), (0.20, 2.63), (1.0, 1.18)])
def test_it_falls_with_loss(loss: float, score: float) -> None:
    # R = 93.2 - 95 * Ppl / (Ppl + 25.1); MOS by G.107, annex B
    assert estimate(loss=loss) == pytest.approx(score, abs=0.01)


def test_it_falls_with_delay_beyond_a_sixth_of_a_second() -> None:
    assert estimate(loss=0, delay_ms=100) > 4.3
    assert estimate(loss=0, delay_ms=400) < estimate(loss=0, delay_ms=177) - 0.8


def _line(*, skip: frozenset[int] = frozenset(), late: frozenset[int] = frozenset()) -> LineQuality:
    line = LineQuality()
    for frame in range(500):
        if frame not in skip:
            line.inbound(20, 1000 + frame * 20 + (200 if frame in late else 0), frame * 20)
    return line


def test_it_says_nothing_before_two_seconds() -> None:
    line = LineQuality()
    line.inbound(20, 0, 0)
    assert line.mos() is None


def test_it_counts_missing_and_late_frames() -> None:
    assert _line().mos() == pytest.approx(4.41, abs=0.01)
    missing = _line(skip=frozenset(range(100, 150, 5)))
    assert missing.missing_ms == 200
    late = _line(late=frozenset(range(100, 150, 5)))
    assert late.late_frames == 10
    assert missing.mos() == late.mos()
    assert (late.mos() or 5) < 4.35


@pytest.mark.parametrize("interval", [19.0, 21.0, 21.9])
def test_it_does_not_take_a_microphones_own_pace_for_lateness(interval: float) -> None:
    line = LineQuality()
    for frame in range(1500):
        line.inbound(20, 1000 + frame * interval)
    assert line.late_frames == 0
    assert line.mos() == pytest.approx(4.41, abs=0.01)


def test_it_sees_stalls_without_timestamps() -> None:
    line = LineQuality()
    for frame in range(500):
        stalled = 200 <= frame < 215  # for 300 ms nothing comes, then all at once
        line.inbound(20, 1000 + (215 if stalled else frame) * 20)
    assert 8 <= line.late_frames <= 15


def test_it_forgets_a_pause_without_timestamps() -> None:
    line = LineQuality()
    for frame in range(500):
        line.inbound(20, 1000 + frame * 20 + (8000 if frame >= 100 else 0))
    assert line.late_frames <= 1


def test_it_forgives_a_frame_that_was_only_out_of_order() -> None:
    line = LineQuality()
    for at, frame in enumerate([0, 1, 3, 2, 4, 5]):
        line.inbound(20, at * 20, frame * 20)
    assert line.missing_ms == 0
    assert line.late_frames == 1


def test_it_counts_what_the_caller_did_not_hear() -> None:
    line = _line()
    line.outbound(9000)
    line.underrun(1000)
    assert line.underruns == 1
    assert (line.mos() or 5) < 3.6


def test_it_takes_the_far_ends_own_report() -> None:
    line = _line()
    line.outbound(9000)
    line.reported_loss = 0.1
    assert (line.mos() or 5) < 3.6
