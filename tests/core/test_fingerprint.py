"""Errors of one kind have one fingerprint, those of another kind another."""

import pytest
from muster.core.fingerprint import fingerprint, normalised

ALIKE = [
    ("timeout after 30.5 s", "timeout after 7 s"),
    ("host 'db-7' is down", "host 'db-12' is down"),
    ('no file "a.txt"', 'no file "b/c.txt"'),
    ("job 018f0000-0000-7000-8000-0000000000ff failed", "job 018fabcd-1234-7000-9000-0123456789ab failed"),
    ("segfault at 0x7ffe12ab", "segfault at 0xdeadbeef"),
    ("commit 9f86d08 not found", "commit 1a2b3c4d5e not found"),
    ("at 10:30:01  it\nbroke", "at 11:00:59 it broke"),
]
DIFFERENT = [("connection refused", "connection reset"), ("no such table", "no such column"), ("", "x")]


def of(message: str, code: str = "X", state: str = "pack") -> str:
    return fingerprint(code, message, "orders", state)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_numbers_ids_hex_and_quoted_texts_do_not_count(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert of(one) == of(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_words_are_another_error(one: str, other: str) -> None:
    assert of(one) != of(other)


def test_another_code_or_state_is_another_error() -> None:
    assert len({of("x"), of("x", code="Y"), of("x", state="ship")}) == 3


def test_words_like_decade_are_no_hex() -> None:
    assert normalised("the facade of a decade") == "the facade of a decade"


def test_a_fingerprint_stays_what_it_is_from_version_to_version() -> None:
    assert of("box 3 is too small") == fingerprint("X", "box 44 is too small", "orders", "pack")
    assert len(of("x" * 100_000)) == 12
