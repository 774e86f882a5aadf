"""Every dependency has a reason, and nothing is explained that is not there."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[A-Za-z0-9_-]+")
ROW = re.compile(r"^\| `([\w-]+)` \| (.+) \|$", re.MULTILINE)


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {found.group() for found in map(NAME.match, wanted) if found}
    return names - {project["name"]}


def test_every_dependency_has_its_reason_and_every_reason_its_dependency() -> None:
    explained = {name for name, _ in ROW.findall((ROOT / "docs" / "dependencies.md").read_text())}
    assert explained == declared()


@pytest.mark.parametrize(("name", "reason"), ROW.findall((ROOT / "docs" / "dependencies.md").read_text()))
def test_a_reason_is_a_sentence(name: str, reason: str) -> None:
    assert reason[0].isupper(), name
    assert reason.endswith("."), name
