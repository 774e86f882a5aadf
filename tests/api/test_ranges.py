"""Which part of a file a request gets, and when it gets the whole."""

import pytest
from muster.api.ranges import is_still, part_wanted

SIZE = 10
WHOLE = None
NONE_OF_IT = range(0)


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        ("bytes=2-4", range(2, 5)),
        ("Bytes=0-0", range(1)),
        ("bytes=7-", range(7, 10)),
        ("bytes=5-99999999999999999999", range(5, 10)),
        ("bytes=-2", range(8, 10)),
        ("bytes=-99", range(10)),
        ("bytes= 2-4 ,", range(2, 5)),
        ("bytes=10-", NONE_OF_IT),
        ("bytes=99999999999999999999-", NONE_OF_IT),
        ("bytes=-0", NONE_OF_IT),
        ("bytes=0-1,5-6", WHOLE),
        ("bytes=0-1, 50-60", WHOLE),
        ("bytes=4-2", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=", WHOLE),
        ("bytes", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=\u0662-4", WHOLE),
        ("bytes=--2", WHOLE),
        ("lines=2-4", WHOLE),
        (f"bytes={'9' * 5000}-", WHOLE),
        ("", WHOLE),
    ],
)
def test_a_range_is_served_ignored_or_cannot_be_satisfied(asked: str, places: range | None) -> None:
    assert part_wanted("GET", {"Range": asked}, SIZE) == places


def test_only_get_knows_ranges() -> None:
    assert part_wanted("HEAD", {"Range": "bytes=2-4"}, SIZE) is None
    assert part_wanted("GET", {}, SIZE) is None


@pytest.mark.parametrize(("asked", "places"), [("bytes=0-", NONE_OF_IT), ("bytes=-5", WHOLE), ("bytes=-0", NONE_OF_IT)])
def test_of_an_empty_file_there_is_no_first_byte(asked: str, places: range | None) -> None:
    assert part_wanted("GET", {"Range": asked}, 0) == places


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (None, True),
        ('"a"', True),
        ('"b"', False),
        ('W/"a"', False),
        ('"a", "b"', False),
        ("Thu, 01 Jan 1970 00:01:00 GMT", True),
        ("Thu, 01 Jan 1970 00:00:59 GMT", False),
        ("Thu, 01 Jan 1970 00:01:01 GMT", False),
        ("a", False),
        ("", False),
    ],
)
def test_a_part_is_sent_only_of_exactly_what_the_client_has(condition: str | None, holds: bool) -> None:
    assert is_still(condition, '"a"', 60) is holds


def test_a_weak_tag_and_a_date_that_was_never_told_say_nothing() -> None:
    assert not is_still('W/"a"', 'W/"a"', None)
    assert not is_still("Thu, 01 Jan 1970 00:01:00 GMT", '"a"', None)
