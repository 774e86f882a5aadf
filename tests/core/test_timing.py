"""What is due of a schedule, what is late, and how slots are spread."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from muster.core.ids import UnixMs
from muster.core.interval import parse_interval
from muster.core.schedule import ScheduleRefused, parse
from muster.core.timing import Punctuality, TooManySlots, between, due_slots, preview

NOON = UnixMs(1_774_785_600_000)
MINUTE, HOUR = 60_000, 3_600_000
HOURLY = parse("0 * * * *")


def rules(late_slots: int = 1, late_ms_max: int = HOUR, jitter_ms: int = 0, name: str = "/a") -> Punctuality:
    return Punctuality(late_slots, late_ms_max, jitter_ms, name)


def found(late: Punctuality, hours: float, since: UnixMs = NOON) -> tuple[list[float], float | None]:
    """What is run, and the newest that is passed over, in hours from noon."""
    due = due_slots(HOURLY, late, since, UnixMs(round(NOON + hours * HOUR)))
    missed = None if due.missed is None else (due.missed - NOON) / HOUR
    return [(slot - NOON) / HOUR for slot in due.run], missed


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 400_000).map(lambda seconds: seconds * 1_000),
    st.integers(-(10**12), 10**12).map(UnixMs),
    st.integers(0, 2 * 10**12).map(UnixMs),
)
def test_an_interval_fires_at_its_anchor_and_evenly_from_there(every_ms: int, anchor: UnixMs, moment: UnixMs) -> None:
    interval = parse_interval(f"{every_ms}ms", datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=anchor))
    slots = preview(interval, moment, 3)
    assert [slot % every_ms for slot in slots] == [anchor % every_ms] * 3
    assert moment < slots[0] <= moment + every_ms
    assert slots[1] - slots[0] == slots[2] - slots[1] == every_ms


@pytest.mark.parametrize("every", ["0s", "-5m", "soon", "999ms", "400d", "", "1e400"])
def test_an_interval_that_cannot_be_used_is_refused(every: str) -> None:
    with pytest.raises(ScheduleRefused, match="every"):
        parse_interval(every)


def test_an_anchor_needs_a_time_zone() -> None:
    with pytest.raises(ScheduleRefused, match="time zone"):
        parse_interval("15m", datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_slot_at_its_time_is_run_under_every_policy() -> None:
    for late_slots in (0, 1, 5):
        assert found(rules(late_slots), 1.01) == ([1], None)


def test_of_late_slots_none_the_latest_or_the_newest_so_many_are_run() -> None:
    day = 24 * HOUR
    assert found(rules(0, day), 5.5) == ([], 5)
    assert found(rules(1, day), 5.5) == ([5], 4)
    assert found(rules(3, day), 5.5) == ([3, 4, 5], 2)
    assert found(rules(9, day), 5.5) == ([1, 2, 3, 4, 5], None)


def test_what_is_too_late_is_missed_however_many_are_made_up_for() -> None:
    assert found(rules(9, 2 * HOUR), 5.5) == ([4, 5], 1)
    assert found(rules(1, HOUR), 5) == ([5], 4)


def test_after_a_look_everything_up_to_now_is_dealt_with() -> None:
    for late in (rules(0), rules(1), rules(9, 3 * HOUR)):
        due = due_slots(HOURLY, late, NOON, UnixMs(NOON + 5 * HOUR + MINUTE))
        again = due_slots(HOURLY, late, due.until, UnixMs(NOON + 5 * HOUR + 2 * MINUTE))
        assert (again.run, again.missed) == ((), None)


def test_a_spread_slot_starts_at_the_same_time_wherever_it_is_looked_at_and_within_its_bound() -> None:
    spread = rules(jitter_ms=10 * MINUTE)
    starts = [spread.starts_at(slot) - slot for slot in preview(HOURLY, NOON, 200)]
    assert starts == [rules(jitter_ms=10 * MINUTE).starts_at(slot) - slot for slot in preview(HOURLY, NOON, 200)]
    assert all(0 <= start <= 10 * MINUTE for start in starts)
    assert max(starts) - min(starts) > 8 * MINUTE
    assert starts != [rules(jitter_ms=10 * MINUTE, name="/b").starts_at(s) - s for s in preview(HOURLY, NOON, 200)]
    first = UnixMs(NOON + HOUR)
    assert due_slots(HOURLY, spread, NOON, UnixMs(spread.starts_at(first) - 1)).run == ()
    assert due_slots(HOURLY, spread, NOON, spread.starts_at(first)).run == (first,)


def test_a_stretch_of_time_has_its_first_and_last_slot_and_no_more_than_asked_for() -> None:
    assert len(between(HOURLY, NOON, UnixMs(NOON + 5 * HOUR), 6)) == 6
    with pytest.raises(TooManySlots, match="more than 5"):
        between(HOURLY, NOON, UnixMs(NOON + 5 * HOUR), 5)


def test_a_preview_across_a_change_of_the_clocks_keeps_to_the_clock_on_the_wall() -> None:
    slots = preview(parse("30 9 * * *", "Europe/Berlin"), UnixMs(NOON - 2 * 24 * HOUR), 3)
    assert [datetime.fromtimestamp(slot / 1000, UTC).strftime("%d %H:%M") for slot in slots] == [
        "28 08:30",
        "29 07:30",
        "30 07:30",
    ]
