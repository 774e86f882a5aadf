"""The SDK's types are part of its promise: right use passes the strict checkers, wrong use does not."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.types.pyright_report import HERE, ROOT, pyright_errors

Checker = Callable[[str], dict[int, str]]


def mypy(name: str) -> dict[int, str]:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", "--hide-error-context"]
    done = subprocess.run([*command, str(HERE / name)], cwd=ROOT, capture_output=True, text=True, check=False)
    errors = re.finditer(r"\.py:(\d+): error: (.*)", done.stdout)
    return {int(found[1]): found[2] for found in errors}


def pyright(name: str) -> dict[int, str]:
    return pyright_errors(name)


CHECKERS = [checker for checker in (mypy, pyright) if importlib.util.find_spec(checker.__name__) is not None]


def _marked(path: Path) -> set[int]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if "  # error" in line}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", CHECKERS)
def test_right_use_passes(checker: Checker) -> None:
    assert checker("worker_ok.py") == {}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", CHECKERS)
def test_each_wrong_use_is_reported_and_nothing_else(checker: Checker) -> None:
    wanted = _marked(HERE / "worker_wrong.py")
    assert len(wanted) >= 5
    assert set(checker("worker_wrong.py")) == wanted
