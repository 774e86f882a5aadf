"""When schedules fire: every slot around every change of the clocks, against a count by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import pytest
from muster.core.ids import UnixMs
from muster.core.schedule import Schedule, ScheduleRefused, parse

MINUTE_MS = 60_000
FIXED = {
    "30 2 * * *": ((2,), (30,)),
    "0 3 * * *": ((3,), (0,)),
    "15,45 1-3 * * *": ((1, 2, 3), (15, 45)),
    "5 0 * * *": ((0,), (5,)),
}
FLOWING = {"*/20 * * * *": (0, 20, 40), "7 * * * *": (7,), "*/1 * * * *": tuple(range(60))}
CHANGES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "America/Santiago": ("2026-04-04", "2026-09-06"),
    "Africa/Cairo": ("2026-04-24", "2026-10-30"),
    "Asia/Kolkata": ("2026-03-29",),
    "UTC": ("2026-03-29",),
}
"""In days on which the clocks are put forward or back: by an hour or a half, at night or at midnight, or never."""
DAYS = [(zone, day) for zone, days in CHANGES.items() for day in days]


def ms(moment: datetime) -> UnixMs:
    return UnixMs(round(moment.timestamp() * 1000))


def window(day: str) -> tuple[datetime, datetime]:
    """From two days before to two days after."""
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return middle - timedelta(days=2), middle + timedelta(days=2)


def exists(moment: datetime) -> bool:
    return moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) == moment.replace(tzinfo=None)


def fixed_slots(zone: tzinfo, day: str, hours: tuple[int, ...], minutes: tuple[int, ...]) -> list[UnixMs]:
    """Each clock time of each day once: its first where there are two, the next that is there where there is none."""
    start, _ = window(day)
    found = set()
    for offset, hour, minute in product(range(-1, 6), hours, minutes):
        date = (start + timedelta(days=offset)).date()
        moment = datetime(date.year, date.month, date.day, hour, minute, tzinfo=zone)
        while not exists(moment):
            moment += timedelta(minutes=1)
        found.add(ms(moment))
    return sorted(found)


def flowing_slots(zone: tzinfo, day: str, minutes: tuple[int, ...]) -> list[UnixMs]:
    """Every minute that passes and reads so."""
    start, end = window(day)
    every = (start + timedelta(minutes=n) for n in range(int((end - start) / timedelta(minutes=1)) + 120))
    return [ms(moment) for moment in every if moment.astimezone(zone).minute in minutes]


def starts(day: str, slots: list[UnixMs]) -> Iterator[UnixMs]:
    """Moments from which to look ahead: every half hour, and close to each slot."""
    low, high = (ms(moment) for moment in window(day))
    yield from (UnixMs(moment) for moment in range(low, high, 30 * MINUTE_MS))
    for slot in slots:
        if low < slot < high:
            yield from (UnixMs(slot - 1), slot, UnixMs(slot + 1))


def assert_next_is_right(schedule: Schedule, day: str, slots: list[UnixMs]) -> None:
    for start in starts(day, slots):
        expected = next(slot for slot in slots if slot > start)
        assert schedule.next(start) == expected, (schedule, start)


@pytest.mark.parametrize(("zone", "day"), DAYS)
@pytest.mark.parametrize("expression", FIXED)
def test_a_fixed_time_comes_once_a_day_whatever_the_clocks_do(zone: str, day: str, expression: str) -> None:
    hours, minutes = FIXED[expression]
    assert_next_is_right(parse(expression, zone), day, fixed_slots(ZoneInfo(zone), day, hours, minutes))


@pytest.mark.parametrize(("zone", "day"), DAYS)
@pytest.mark.parametrize("expression", FLOWING)
def test_a_time_of_every_hour_goes_by_what_has_passed(zone: str, day: str, expression: str) -> None:
    slots = flowing_slots(ZoneInfo(zone), day, FLOWING[expression])
    if len(slots) > 1_000:
        slots = [slot for slot in slots if abs(slot - ms(window(day)[0]) - 2 * 86_400_000) < 4 * 3_600_000]
        for before, after in pairwise(slots):
            assert parse(expression, zone).next(before) == after
        return
    assert_next_is_right(parse(expression, zone), day, slots)


@pytest.mark.parametrize(("zone", "day"), DAYS)
def test_slots_grow_and_none_is_found_twice(zone: str, day: str) -> None:
    for expression in (*FIXED, *FLOWING):
        slots = parse(expression, zone).after(ms(window(day)[0]))
        found = [next(slots) for _ in range(30)]
        assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "is not five fields"),
        ("* * * *", "is not five fields"),
        ("* * * * * *", "is not five fields"),
        ("@daily", "is not five fields"),
        ("60 * * * *", "bad minute"),
        ("* * * * MOON", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("0 0 31 4 *", "bad day-of-month"),
        ("0 0 */31 * MON#5", "never fires"),
        ("," * 10_000, "is not five fields"),
        ("0 0 1 1 " + "1," * 200 + "1", "is not five fields"),
        ("0\0 * * * *", "bad minute"),
    ],
)
def test_an_expression_that_cannot_be_or_never_fires_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ScheduleRefused, match=why):
        parse(expression)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "a\0b", "Europe"])
def test_a_time_zone_that_is_not_one_is_refused(zone: str) -> None:
    with pytest.raises(ScheduleRefused, match="is not a time zone"):
        parse("* * * * *", zone)
