"""The table of features names tests that exist."""

import re

import pytest

from tests.docs.blocks import ROOT

ROW = re.compile(r"^\| (.+?) \| `([\w/]+\.py)::(\w+)` \|$", re.MULTILINE)
PAGE = (ROOT / "docs/features.md").read_text()


@pytest.mark.parametrize(("feature", "path", "test"), ROW.findall(PAGE), ids=lambda part: str(part)[:40])
def test_a_features_test_exists(feature: str, path: str, test: str) -> None:
    assert f"def {test}(" in (ROOT / path).read_text(), feature


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and line != "| feature | test |"]
    assert len(rows) == len(ROW.findall(PAGE)), "a row is `| feature | `tests/path.py::test_name` |`"


def test_every_paragraph_has_its_guide_and_its_rows() -> None:
    for part in PAGE.split("\n## ")[1:]:
        assert ROW.search(part), f"no row below {part.splitlines()[0]!r}"
        assert "](guides/" in part, f"no guide below {part.splitlines()[0]!r}"
