"""Names and media types, whatever strangers send."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.files.names import media_type_of, safe_name
from muster.files.zipping import distinct_names

SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")


@given(st.text(max_size=600))
def test_any_text_becomes_a_safe_segment_and_stays_one(text: str) -> None:
    name = safe_name(text)
    assert SAFE.fullmatch(name)
    assert safe_name(name) == name


@given(st.lists(st.sampled_from(["a", "a.2", "a.txt", "a.2.txt", "b"]), max_size=12))
def test_names_in_a_zip_are_distinct(names: list[str]) -> None:
    distinct = distinct_names(names)
    assert len(set(distinct)) == len(names)
    assert set(names) <= set(distinct)


@pytest.mark.parametrize(
    ("name", "declared", "found"),
    [
        ("a.csv", None, "text/csv"),
        ("a.bin", "Image/PNG", "image/png"),
        ("a.txt", "text/plain; charset=UTF-8", "text/plain; charset=UTF-8"),
        ("a.txt", "text/html\r\nX: y", "text/plain"),
        ("a", "nonsense", "application/octet-stream"),
        ("run.log", None, "text/plain"),
        ("a.txt", "a/" + "b" * 200, "text/plain"),
    ],
)
def test_a_media_type_is_declared_properly_or_guessed(name: str, declared: str | None, found: str) -> None:
    assert media_type_of(name, declared) == found
