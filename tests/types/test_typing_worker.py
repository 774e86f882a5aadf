"""The SDK's types are part of its promise: right use passes the strict checkers, wrong use does not."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Checker = Callable[[Path], list[str]]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy(path: Path) -> list[str]:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", "--hide-error-context"]
    return _lines(subprocess.run([*command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False).stdout)


def pyright(path: Path) -> list[str]:
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    return _lines(subprocess.run([*command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False).stdout)


def _lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if re.search(r"\berror\b\s*:|- error:", line)]


def _reported(lines: list[str]) -> set[int]:
    return {int(found[1]) for line in lines if (found := re.search(r"worker_\w+\.py:(\d+)", line))}


def _marked(path: Path) -> set[int]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if "  # error" in line}


CHECKERS = [checker for checker in (mypy, pyright) if importlib.util.find_spec(checker.__name__) is not None]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", CHECKERS)
def test_right_use_passes(checker: Checker) -> None:
    assert checker(HERE / "worker_ok.py") == []


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", CHECKERS)
def test_each_wrong_use_is_reported_and_nothing_else(checker: Checker) -> None:
    path = HERE / "worker_wrong.py"
    assert _reported(checker(path)) == _marked(path)
