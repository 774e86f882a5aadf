"""A schedule that stands with its blueprint: `Blueprint("report", schedule=cron("0 9 * * 1-5"))`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from muster_worker.durations import Duration, parse_duration_ms
from pydantic_core import to_jsonable_python

from muster.core.connection import Connection, ConnectionRefused, Overlap, read_connection
from muster.core.schedule import ScheduleRefused


@dataclass(frozen=True)
class Planned:
    """What a connection of the blueprint's name has beside its blueprint. Make it with `cron` or `every`."""

    members: Mapping[str, Any] = field(repr=False)

    def connection(self, blueprint: str) -> Connection:
        return read_connection({**self.members, "name": blueprint, "blueprint": blueprint})


def cron(
    expression: str,
    *,
    tz: str = "UTC",
    input: Any = None,  # noqa: A002 - the word of the blueprint
    overlap: Overlap = "skip",
    catch_up: Literal["none", "latest"] | int = "latest",
    late: Duration = "1h",
    jitter: Duration = 0,
) -> Planned:
    """Run the blueprint by cron: minute, hour, day of month, month, day of week, in the time zone *tz*.

    Args:
        expression: five fields, such as `30 6 * * MON-FRI`.
        tz: such as `Europe/Berlin`.
        input: `initial_data` of every run.
        overlap: while the run before is active `skip` the slot, `queue` it, `cancel_running`, or `allow` both.
        catch_up: of slots that nobody could run at their time `none`, the `latest`, or the newest so many.
        late: a slot later than this is missed.
        jitter: each slot starts up to so much later, always the same for one slot.

    Raises:
        ScheduleRefused: the expression never fires or does not parse, or another value cannot be used.
    """
    timing = {"schedule": expression, "timezone": tz}
    return _planned(timing, input, overlap, catch_up, late, jitter)


def every(
    interval: Duration,
    *,
    anchor: datetime | None = None,
    input: Any = None,  # noqa: A002 - the word of the blueprint
    overlap: Overlap = "skip",
    catch_up: Literal["none", "latest"] | int = "latest",
    late: Duration = "1h",
    jitter: Duration = 0,
) -> Planned:
    """Run the blueprint each time *interval* has passed, counted from *anchor*: `every("15m")` at :00, :15, :30, :45.

    The other arguments and errors are those of `cron`.
    """
    timing = {"every": interval if isinstance(interval, str) else _text(interval), "anchor": anchor}
    return _planned(timing, input, overlap, catch_up, late, jitter)


def _planned(
    timing: Mapping[str, Any], given: Any, overlap: str, catch_up: str | int, late: Duration, jitter: Duration
) -> Planned:
    try:
        rules = {
            "overlap": overlap,
            "catch_up": catch_up,
            "late_seconds_max": parse_duration_ms(late) // 1000,
            "jitter_seconds": parse_duration_ms(jitter) // 1000,
        }
        planned = Planned({**timing, **rules, "initial_data": {} if given is None else to_jsonable_python(given)})
        planned.connection("checked")
    except ConnectionRefused as refused:
        raise ScheduleRefused("; ".join(map(str, refused.problems))) from None
    except ValueError as wrong:
        raise ScheduleRefused(str(wrong)) from wrong
    return planned


def _text(interval: Duration) -> str:
    try:
        return f"{parse_duration_ms(interval)}ms"
    except ValueError as wrong:
        raise ScheduleRefused(f"every: {wrong}") from wrong
