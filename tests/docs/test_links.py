"""Documents name files, tests and settings that exist."""

import re
from pathlib import Path

import pytest
from muster.settings import OF_OTHERS, Settings, variable

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:orchestrator|worker|tests|docs|blueprints|deploy)/[\w./-]+)`")
TEST = re.compile(r"`(test_\w+)`")
SETTING = re.compile(r"`?(MUSTER_[A-Z0-9_]+)")
FENCE = re.compile(r"```.*?```", re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(FENCE.sub("", page.read_text())) if "://" not in link]
    dead = [link for link in links if not (page.parent / link).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    missing = [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    missing = [test for test in TEST.findall(page.read_text()) if f"def {test}(" not in sources]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    units = "".join(path.read_text() for path in (ROOT / "deploy" / "systemd").iterdir())
    known = {variable(name) for name in Settings.model_fields} | OF_OTHERS | set(SETTING.findall(units))
    names = {name.removesuffix("_FILE") if name not in known else name for name in SETTING.findall(page.read_text())}
    assert {name for name in names if not name.endswith("_")} - known == set()


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"]
    assert [page for page in pages if f"({page})" not in index] == []
