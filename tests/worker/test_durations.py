from datetime import timedelta

import pytest
from muster_worker import parse_duration_ms
from muster_worker.durations import DURATION_MS_MAX


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("90s", 90_000),
        ("5m", 300_000),
        ("2d", 172_800_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        ("250ms", 250),
        ("1.5s", 1500),
        (90, 90_000),
        (0.25, 250),
        ("90", 90_000),
        (0, 0),
        (timedelta(minutes=2), 120_000),
        ("PT5M", 300_000),
        ("P1DT2H", 93_600_000),
        ("PT0.5S", 500),
        ("P2W", 1_209_600_000),
        ("1W", 604_800_000),
    ],
)
def test_a_duration_is_read_as_people_write_it(written: object, ms: int) -> None:
    assert parse_duration_ms(written) == ms  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "nonsense", ["", "soon", "5 apples", "-5s", -1, "P", "PT", "5m!", float("nan"), float("inf"), True]
)
def test_anything_else_is_refused_with_its_value_and_the_forms_that_work(nonsense: object) -> None:
    with pytest.raises(ValueError, match="is not a duration; write seconds") as refused:
        parse_duration_ms(nonsense)  # type: ignore[arg-type]
    assert repr(nonsense) in str(refused.value)


@pytest.mark.parametrize("long", ["3653d", "99999999999d", 10**12, 10**400, timedelta.max, "P99999999999W"])
def test_what_is_longer_than_ten_years_is_refused(long: object) -> None:
    with pytest.raises(ValueError, match="is too long; a duration is at most ten years"):
        parse_duration_ms(long)  # type: ignore[arg-type]
    assert parse_duration_ms("3652.5d") == DURATION_MS_MAX
