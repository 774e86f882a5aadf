"""Wrong wiring is refused by the type checkers people use."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.types.pyright_report import pyright_errors

ROOT = Path(__file__).parents[2]
WIRING = Path(__file__).with_name("blueprint_wiring.py")
EXAMPLES = sorted((ROOT / "blueprints").glob("*.py"))


def wrong_lines(path: Path) -> set[int]:
    return {number for number, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# WRONG")}


def check_lines(found: set[int], output: str) -> None:
    wanted = wrong_lines(WIRING)
    assert len(wanted) >= 10
    assert found == wanted, output


def run(command: list[str]) -> str:
    paths = [str(ROOT / "orchestrator"), str(ROOT / "worker"), str(ROOT / "blueprints")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": ":".join(paths), "PYTHONPATH": ":".join(paths), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_mypy_refuses_exactly_the_wrong_lines() -> None:
    output = run([sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(WIRING)])
    found = {int(line.split(":")[1]) for line in output.splitlines() if ": error:" in line}
    check_lines(found, output)


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("node") is None, reason="pyright needs Node.js")
def test_pyright_refuses_exactly_the_wrong_lines() -> None:
    errors = pyright_errors(WIRING.name)
    check_lines(set(errors), str(errors))


@pytest.mark.timeout(300)
def test_the_examples_are_typed_strictly() -> None:
    output = run([sys.executable, "-m", "mypy", "--strict", *map(str, EXAMPLES)])
    assert "Success" in output, output
