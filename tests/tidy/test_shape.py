"""Files and functions stay small, and are named for what they answer."""

from pathlib import Path

import pytest

from tests.tidy.laws import CODE, FILE_LINES_MAX, FUNCTION_LINES_MAX, ROOT, functions, lines_of, modules, named

VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "tools", "manager"}


@pytest.mark.parametrize("path", modules(*CODE, "tests"), ids=named)
def test_functions_fit_on_a_screen(path: Path) -> None:
    for function in functions(path):
        lines = lines_of(function)
        assert lines <= FUNCTION_LINES_MAX, f"{named(path)}:{function.lineno} is {lines} lines; split it"


@pytest.mark.parametrize("path", modules(*CODE), ids=named)
def test_a_file_answers_one_question(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= FILE_LINES_MAX, f"{named(path)} has {lines} lines; at most {FILE_LINES_MAX}: split it by question"


def test_no_module_is_named_for_nothing() -> None:
    vague = [named(path) for path in modules(*CODE, "tests") if VAGUE & {path.stem, *path.parent.parts}]
    assert vague == [], "name it for what it answers"


@pytest.mark.parametrize("path", modules("orchestrator", "worker", "blueprints"), ids=named)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text().strip()
    assert not text or text.startswith('"""'), f"{named(path)} needs a sentence at its top"


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Makefile", "docs/README.md"]
)
def test_the_project_has_what_a_newcomer_looks_for(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_nothing_is_left_for_later_in_the_tree() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
    kinds = {".py", ".lua", ".md", ".toml", ".yaml", ".yml", ".conf", ".service", ".sh"}
    folders = (*CODE, "tests", "docs", "deploy", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    left = [named(path) for path in [*files, *ROOT.glob("*.md")] if any(mark in path.read_text() for mark in marks)]
    assert left == [], "finish it, or write an issue"
