"""It knows when schedules are due, on the days on which clocks change as well."""

from datetime import UTC, datetime, timedelta

import pytest

from workflows.cron import BadCron, BadTimezone, Cron

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(cron: Cron, start: str, count: int) -> list[str]:
    moment: datetime | None = at(start)
    found = []
    for _ in range(count):
        assert moment is not None
        moment = cron.after(moment)
        assert moment is not None
        found.append(moment.strftime("%m-%dT%H:%M"))
    return found


def test_it_goes_by_the_clock_of_its_time_zone() -> None:
    assert times(Cron("30 9 * * *", BERLIN), "2026-01-10T08:30", 2) == ["01-11T08:30", "01-12T08:30"]
    assert times(Cron("30 9 * * *", BERLIN), "2026-07-10T07:30", 1) == ["07-11T07:30"]
    assert times(Cron("0 9 * * 1-5", "Asia/Kolkata"), "2026-01-09T12:00", 1) == ["01-12T03:30"]


def test_what_falls_into_the_hour_left_out_is_due_right_after_it() -> None:
    # 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC.
    assert times(Cron("30 2 * * *", BERLIN), "2026-03-28T02:00", 2) == ["03-29T01:00", "03-30T00:30"]


def test_what_falls_into_the_hour_that_comes_twice_is_due_once() -> None:
    # 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC.
    assert times(Cron("30 2 * * *", BERLIN), "2026-10-24T12:00", 2) == ["10-25T00:30", "10-26T01:30"]


def test_every_hour_is_every_hour_when_clocks_change() -> None:
    hourly = Cron("0 * * * *", BERLIN)
    for start in ("2026-03-28T22:00", "2026-10-24T22:00"):
        moment: datetime | None = at(start)
        for _ in range(6):
            assert moment is not None
            following = hourly.after(moment)
            assert following == moment + timedelta(hours=1)
            moment = following


def test_of_many_missed_times_it_names_the_newest() -> None:
    found = Cron("* * * * *", "UTC").between(at("2025-01-01"), at("2026-01-01T00:00:30"), 100)
    assert len(found) == 100
    assert found[-1] == at("2026-01-01")
    assert found[0] == at("2025-12-31T22:21")


def test_it_names_both_ends() -> None:
    found = Cron("0 0 1 * *", "UTC").between(at("2026-01-01"), at("2026-03-01"), 100)
    assert found == [at("2026-01-01"), at("2026-02-01"), at("2026-03-01")]
    assert Cron("0 0 1 * *", "UTC").between(at("2026-01-02"), at("2026-01-30"), 100) == []


@pytest.mark.parametrize(
    "expression", ["", "x", "* * * *", "61 * * * *", "* * * * * *", "0 0 31 2 *", "@daily", "*/0 * * * *"]
)
def test_it_refuses_what_is_no_expression_or_never_due(expression: str) -> None:
    with pytest.raises(BadCron):
        Cron(expression, "UTC")


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "europe/berlin\0"])
def test_it_refuses_unknown_time_zones(name: str) -> None:
    with pytest.raises(BadTimezone):
        Cron("* * * * *", name)
