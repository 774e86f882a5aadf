"""Each `coverage_<surface>.md` names tests that exist in the folder of that surface."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGES = sorted(HERE.glob("coverage_*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_statement_has_a_test_that_exists(page: Path) -> None:
    rows = re.findall(r"^\| (.+) \| ([^|]+) \|$", page.read_text(), re.MULTILINE)
    named = [(what, test) for what, test in rows if test != "test"]
    assert len(named) > 20
    folder = HERE / page.stem.removeprefix("coverage_")
    for what, test in named:
        place, _, name = test.rpartition(": ")
        assert f"def {name}(" in (folder / place).read_text(), f"{what}: {test}"


def test_the_overview_names_every_table() -> None:
    linked = re.findall(r"\]\(([^)]+\.md)\)", (HERE / "coverage.md").read_text())
    assert {HERE / place for place in linked} == {*PAGES, HERE / "../surface/coverage.md"}
    assert all((HERE / place).is_file() for place in linked)
