"""What the load test calls late: it must neither forgive the service nor blame it for the simulator."""

import pytest

from tests.fakes.caller.report import Report
from tests.fakes.caller.timer import Lateness
from tests.fakes.voice_measures import breaks

ON_TIME = Lateness()


def report(*gaps: tuple[float, float]) -> Report:
    return Report("CA1", "+15005560000", "+15005570000", gaps=list(gaps))


def test_a_frame_is_late_when_the_carrier_had_nothing_to_play_for_more_than_40_ms():
    found = breaks([report((10.0, 10.039), (20.0, 20.041)), report((30.0, 30.9))], ON_TIME)
    assert found == [pytest.approx(41), pytest.approx(900)]


def test_the_pause_between_two_answers_is_none():
    assert breaks([report((10.0, 12.1), (20.0, 27.0))], ON_TIME) == []


def test_what_the_simulator_was_late_for_itself_is_not_the_services():
    lateness = Lateness()
    for due in (19.95, 20.0, 20.02):
        lateness.note(20.06, due)
    assert lateness.when == [(19.95, 20.06)]
    found = breaks([report((20.01, 20.06), (20.07, 20.2)), report((20.03, 20.9))], lateness)
    assert found == [pytest.approx(130), pytest.approx(840)]


def test_a_simulator_says_how_late_it_was():
    lateness = Lateness()
    lateness.note(1.0, 1.0)
    lateness.note(2.0, 1.995)
    lateness.note(3.0, 2.98)
    assert (lateness.events, lateness.late, round(lateness.worst_ms)) == (3, 1, 20)
    assert lateness.when == [(2.98, 3.0)]
    assert not lateness.acceptable
