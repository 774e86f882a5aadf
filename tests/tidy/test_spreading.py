"""Tests that must not run beside each other do not, however many processes share the suite."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.spreading import GROUPS, group_of

ROOT = Path(__file__).parents[2]
FOUR_TESTS = """
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("n", range(4))
def test_it(n):
    name = f"{Path(__file__).parent.name}-{n}-{os.environ['PYTEST_XDIST_WORKER']}"
    (Path(os.environ["NOTES"]) / name).touch()
"""


def workers_of(notes: Path) -> Mapping[str, set[str]]:
    """By folder, the processes that ran its tests."""
    found: dict[str, set[str]] = {}
    for note in notes.iterdir():
        folder, _, worker = note.name.split("-")
        found.setdefault(folder, set()).add(worker)
    return found


def test_the_tests_of_a_group_are_run_by_one_process(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    for folder in ("tests/system", "tests/e2e", "notes"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("system", "e2e"):
        (tmp_path / f"tests/{folder}/test_{folder}.py").write_text(FOUR_TESTS)
    plugins = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:rerunfailures"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", *plugins, "--rootdir", str(tmp_path), "tests"],
        cwd=tmp_path,
        env={**os.environ, "NOTES": str(notes), "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [len(workers) for workers in workers_of(notes).values()] == [1, 1]


@pytest.mark.parametrize("start", GROUPS)
def test_what_a_group_names_is_there(start: str) -> None:
    assert (ROOT / start).exists()


def test_other_tests_are_alone() -> None:
    assert group_of("tests/system/test_a.py::test_b") == group_of("tests/chaos/test_c.py::test_d[1]")
    assert group_of("tests/core/test_join.py::test_a") == "tests/core/test_join.py::test_a"
