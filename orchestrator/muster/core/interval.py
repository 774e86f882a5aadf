"""When an interval fires: at its anchor and every so often before and after it. Pure, in milliseconds since 1970."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from muster_worker.durations import parse_duration_ms

from muster.core.ids import UnixMs
from muster.core.limits import INTERVAL_MS_MAX, INTERVAL_MS_MIN
from muster.core.schedule import ScheduleRefused

EPOCH: Final = UnixMs(0)


@dataclass(frozen=True, slots=True)
class Interval:
    """A checked interval. Make it with `parse_interval`. It goes by the time that passes, not by a clock on a wall."""

    every_ms: int
    anchor: UnixMs = EPOCH

    @property
    def text(self) -> str:
        """What it is, in one line; another one for every other interval."""
        return f"every {self.every_ms} ms from {self.anchor}"

    def after(self, moment: UnixMs) -> Iterator[UnixMs]:
        """Its slots later than *moment*, in order, for ever."""
        slot = self.anchor + ((moment - self.anchor) // self.every_ms + 1) * self.every_ms
        while True:
            yield UnixMs(slot)
            slot += self.every_ms

    def next(self, moment: UnixMs) -> UnixMs | None:
        """The first slot later than *moment*."""
        return next(self.after(moment))


def parse_interval(every: str, anchor: datetime | None = None) -> Interval:
    """A checked interval, such as `15m`; counted from *anchor*, or from the beginning of 1970 in UTC.

    Raises:
        ScheduleRefused: it is no duration, or one that is too short or too long.

    >>> parse_interval("15m").next(UnixMs(1_000_000))
    1800000
    """
    try:
        every_ms = parse_duration_ms(every)
    except ValueError as error:
        raise ScheduleRefused(f"every {every[:100]!r}: {error}") from error
    if not INTERVAL_MS_MIN <= every_ms <= INTERVAL_MS_MAX:
        raise ScheduleRefused(f"every {every[:100]!r}: an interval is from 1 second to 366 days long")
    if anchor is None:
        return Interval(every_ms)
    if anchor.tzinfo is None:
        raise ScheduleRefused(f"anchor {anchor.isoformat()} has no time zone; write 2026-01-01T00:00:00Z")
    return Interval(every_ms, UnixMs(round(anchor.astimezone(UTC).timestamp() * 1000)))
