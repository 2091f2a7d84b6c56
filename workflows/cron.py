"""When a cron expression is due, by the clock of a time zone. Pure.

What falls into the hour that is left out in spring is due right after it; what falls into the hour that comes
twice in autumn is due once, but an expression with `*` hours or minutes goes on each hour or minute.
"""

from collections import deque
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

_FIELDS = 5


class BadCron(ValueError):
    """An expression cannot be read, or is never due; the message says why."""


class BadTimezone(ValueError):
    """There is no such time zone."""


class Cron:
    """One expression in one time zone. Raises `BadCron` or `BadTimezone`."""

    def __init__(self, expression: str, timezone: str) -> None:
        self.expression = expression
        self.zone = zone(timezone)
        if len(expression.split()) != _FIELDS:
            raise BadCron("Five fields are expected: minute, hour, day of the month, month, day of the week.")
        try:
            next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise BadCron(f"Cannot be read: {error}.") from None
        except StopIteration:
            raise BadCron("It is never due.") from None

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`, in UTC; None when there is none in fifty years."""
        found = next(CronSim(self.expression, moment.astimezone(self.zone)), None)
        return None if found is None else found.astimezone(UTC)

    def between(self, first: datetime, last: datetime, most: int) -> list[datetime]:
        """The times from `first` to `last`, both included, in order: of too many the newest."""
        window = timedelta(hours=1)
        while True:
            start = max(first, last - window)
            found = deque(self._from(start, last), maxlen=most)
            if start == first or len(found) == most:
                return list(found)
            window *= 8

    def _from(self, first: datetime, last: datetime) -> "list[datetime]":
        found = []
        moment = self.after(first - timedelta(seconds=1))
        while moment is not None and moment <= last:
            found.append(moment)
            moment = self.after(moment)
        return found


def zone(name: str) -> ZoneInfo:
    """A time zone of the IANA database, by its name. Raises `BadTimezone`."""
    if name not in _names():
        raise BadTimezone(f"There is no time zone {name!r}; examples are UTC and Europe/Berlin.")
    return ZoneInfo(name)


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())  # reads hundreds of files
