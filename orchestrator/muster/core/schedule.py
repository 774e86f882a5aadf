"""When a cron expression fires. Pure: moments go in and come out as milliseconds since 1970.

Five fields, as Debian's cron reads them. Where clocks are put forward, a job of a fixed hour that the day does not have
runs at once afterwards; where they are put back, it runs once. One of every hour or minute runs by elapsed time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from muster.core.ids import UnixMs
from muster.core.limits import CRON_CHARACTERS_MAX

FIELDS: Final = 5
_KNOWN_DAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""Whether an expression fires at all is tried from here on, for fifty years."""


class ScheduleRefused(ValueError):
    """The expression or the time zone cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A checked expression in its time zone. Make it with `parse`."""

    expression: str
    timezone: str
    _zone: tzinfo = field(compare=False, repr=False)

    @property
    def text(self) -> str:
        """What it is, in one line; another one for every other schedule."""
        return f"{self.expression} {self.timezone}"

    def after(self, moment: UnixMs) -> Iterator[UnixMs]:
        """Its slots later than *moment*, in order."""
        last = moment
        # Where the clock is put back, the start may lie in the hour's second turn and the first find in its first.
        for found in CronSim(self.expression, datetime.fromtimestamp(moment / 1000, self._zone)):
            slot = UnixMs(round(found.timestamp() * 1000))
            if slot > last:
                last = slot
                yield slot

    def next(self, moment: UnixMs) -> UnixMs | None:
        """The first slot later than *moment*. None: there is none in the next fifty years."""
        return next(self.after(moment), None)


def parse(expression: str, timezone: str = "UTC") -> Schedule:
    """A checked schedule.

    Raises:
        ScheduleRefused: it does not parse, never fires, or the zone is not known.

    >>> parse("30 2 * * *", "Europe/Berlin").next(UnixMs(1_774_742_400_000))  # the day has no 2:30: it is 3:00
    1774746000000
    """
    zone = _zone(timezone)
    words = expression.split()
    if len(words) != FIELDS or len(expression) > CRON_CHARACTERS_MAX:
        raise ScheduleRefused(
            f"{expression[:CRON_CHARACTERS_MAX]!r} is not five fields: minute, hour, day of month, month, day of week, "
            "for example '30 6 * * MON-FRI'"
        )
    try:
        fires = next(CronSim(expression, _KNOWN_DAY), None) is not None
    except CronSimError as error:
        raise ScheduleRefused(f"{expression!r} is not a cron expression: {_reason(str(error))}") from error
    if not fires:
        raise ScheduleRefused(f"{expression!r} never fires: no day fits it")
    return Schedule(" ".join(words), timezone, zone)


def _reason(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}"


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ScheduleRefused(f"{name[:100]!r} is not a time zone; names are such as Europe/Berlin, or UTC") from None
