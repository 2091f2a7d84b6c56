"""The model of the far end: what it makes of sends, echoes and clears. Times and positions in milliseconds."""

import pytest

from voice.pipeline.far_end import FarEnd, Mark


def speaking(until: float = 1000, *, one_way: float = 50) -> tuple[FarEnd, dict[float, Mark]]:
    """A far end that was sent 40 ms every 40 ms from 0 on, 200 ms ahead; its first echo came back."""
    far, marks = FarEnd(), {}
    probe = far.mark(0)
    far.send(200, 0)
    for now in range(40, int(until) + 1, 40):
        if now - 40 < 2 * one_way <= now:
            far.echo(probe, 2 * one_way)
        far.send(40, now)
        marks[far.sent] = far.mark(now)
    return far, marks


def test_it_measures_the_way_by_marks_sent_into_an_empty_player() -> None:
    far, _ = speaking(one_way=30)
    assert far.one_way == 30
    assert far.position(1000) == pytest.approx(970)


def test_it_plays_without_a_break_what_comes_in_time_and_counts_the_gap_of_what_does_not() -> None:
    far = FarEnd()
    assert far.send(200, 0) == 0
    assert far.send(100, 150) == 0
    assert far.end == 350
    assert far.send(100, 400) == 100
    assert far.position(400) == 300
    assert far.sounding(400) is None
    assert far.position(460) == 310


def test_it_follows_the_player_when_two_echoes_say_that_it_is_late() -> None:
    far, marks = speaking()
    first, second = marks[800], marks[1000]
    far.echo(first, 50 + 800 + 50 + 120)  # one echo alone may have been held up by the network
    assert far.position(1050) == pytest.approx(1000)
    far.echo(second, 50 + 1000 + 50 + 120)
    assert far.position(1170) == pytest.approx(1000)


def test_it_believes_an_early_echo_at_once() -> None:
    far, marks = speaking()
    far.echo(marks[800], 50 + 800 + 50 - 30)
    assert far.position(1020) == pytest.approx(1000)


def test_it_knows_what_still_plays_while_a_clear_is_on_its_way() -> None:
    far, _ = speaking()
    far.clear(1000)
    assert far.position(5000) == pytest.approx(1000)
    assert far.end == 1050
    far.send(100, 1010)
    assert far.position(1100) == pytest.approx(far.sent - 100 + 40)


def test_it_takes_marks_that_a_clear_sends_back_for_no_proof() -> None:
    far, marks = speaking()
    run = far.last
    far.clear(1000)
    assert run
    for position in (1080, 1160, 1200):  # a round trip after the clear, all at once
        far.echo(marks[position], 1100)
    assert run.position(5000) == pytest.approx(1000)


def test_it_takes_an_echo_that_was_on_its_way_when_it_cleared() -> None:
    far, marks = speaking()
    run = far.last
    far.clear(1000)
    assert run
    far.echo(marks[960], 50 + 960 + 50 - 20)
    assert run.position(5000) == pytest.approx(1020)


def test_it_widens_the_lead_by_jitter_at_once_and_narrows_it_slowly() -> None:
    far, marks = speaking(4000)
    positions = sorted(marks)
    late = 0.0
    leads = []
    for at, position in enumerate(positions[:60]):
        late = 70.0 if at % 2 else 0.0
        far.echo(marks[position], 100 + position + (late if at < 10 else 0))
        leads.append(far.lead)
    assert max(leads) > 150
    assert leads[12] > 120
    assert leads[-1] == 60
