"""What people who come from Avtomatika look for is here, each row with a test that exists."""

import re

import pytest
from muster import Blueprint, cron
from muster.blueprint.check import problems_of

from tests.docs.blocks import ROOT, blocks

ROW = re.compile(r"^\| (.+?) \| (.+?) \| `([\w/]+\.py)::(\w+)` \|$", re.MULTILINE)
PAGE = (ROOT / "docs/parity.md").read_text()


@pytest.mark.parametrize(("before", "now", "path", "test"), ROW.findall(PAGE), ids=lambda part: str(part)[:40])
def test_a_row_has_a_test_that_exists(before: str, now: str, path: str, test: str) -> None:
    assert f"def {test}(" in (ROOT / path).read_text(), (before, now)


def test_every_row_below_a_heading_with_tests_names_one() -> None:
    for part in PAGE.split("\n## ")[1:]:
        rows = [line for line in part.splitlines() if line.startswith("| ")]
        if rows and rows[0].endswith("| test |"):
            assert len(rows) - 1 == len(ROW.findall(part)), f"below {part.splitlines()[0]!r} a row names no test"


def test_the_schedules_of_the_page_are_ones() -> None:
    shown = re.findall(r"`(\d+ \d+ \S+ \* \S+)`", PAGE)
    assert [cron(expression) is not None for expression in shown] == [True] * 3


def test_the_blueprint_of_the_page_is_one() -> None:
    names: dict[str, object] = {}
    exec(compile(blocks("docs/parity.md", "python")[0], "parity.md", "exec"), names)
    films = names["films"]
    assert isinstance(films, Blueprint)
    assert list(problems_of(films)) == []
