"""Every error has a page, every page has an error, and a page can be found from the answer."""

from pathlib import Path

import pytest
from muster.errors import STATUS_OF, ErrorCode

PAGES = Path(__file__).parents[2] / "docs" / "errors"


def test_every_error_code_has_a_page_and_every_page_has_a_code() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert pages == {str(code) for code in ErrorCode}


def test_every_error_code_has_a_status() -> None:
    assert set(STATUS_OF) == set(ErrorCode)


@pytest.mark.parametrize("code", ErrorCode)
def test_a_page_says_what_happened_why_and_what_to_do(code: ErrorCode) -> None:
    parts = (PAGES / f"{code}.md").read_text().split("\n\n")
    assert parts[0] == f"# {code}"
    assert parts[1] == f"HTTP {STATUS_OF[code]}"
    assert parts[2].endswith((".", ":"))
    assert "## Likely causes" in parts
    assert "## What to do" in parts
