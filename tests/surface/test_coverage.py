"""`coverage.md` names tests that exist."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_statement_has_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (.+) \| ([^|]+) \|$", (HERE / "coverage.md").read_text(), re.MULTILINE)
    named = [(what, test) for what, test in rows if test != "test"]
    assert len(named) > 70
    nearby = "\n".join(path.read_text() for path in HERE.glob("test_*.py"))
    for what, test in named:
        place, _, name = test.rpartition(": ")
        text = (HERE / place).read_text() if place else nearby
        assert f"def {name}(" in text, f"{what}: {test}"
