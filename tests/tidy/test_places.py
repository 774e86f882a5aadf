"""What may be written in one place only is written there."""

import ast
import re
from pathlib import Path

import pytest
from muster.errors import ErrorCode

from tests.tidy.laws import ROOT, constant_texts, modules, named, tree

MUSTER = ROOT / "orchestrator" / "muster"
SCRIPTS = sorted((MUSTER / "store" / "scripts").glob("*.lua"))
AS_SUBMITTED = "JobStatus.PENDING"
"""The one status that others give: nobody has looked at the job yet, so nobody has decided anything."""
HASH_TAG = re.compile(r"^[{}]$|^\{[\w.]+\}")


@pytest.mark.parametrize("path", modules("orchestrator/muster"), ids=named)
def test_a_status_is_only_given_in_the_core(path: Path) -> None:
    if path.is_relative_to(MUSTER / "core"):
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.keyword) and node.arg == "status":
            given = ast.unparse(node.value)
            line = f"{named(path)}:{node.value.lineno}"
            chosen = given.startswith("JobStatus.") and given != AS_SUBMITTED
            assert not chosen, f"{line} gives a status; return a decision and let the core do it"


@pytest.mark.parametrize("path", modules("orchestrator/muster/store", "orchestrator/muster/engine"), ids=named)
def test_a_hash_tag_is_spelled_in_keys_py_only(path: Path) -> None:
    if path.name == "keys.py":
        return
    spelled = [f"{named(path)}:{line}: {text!r}" for line, text in constant_texts(path) if HASH_TAG.match(text)]
    assert spelled == [], "take the tag from store/keys.py"


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_a_script_spells_keys_by_the_tag_it_is_given(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = line.partition("--")[0]
        written = re.findall(r"call\('[A-Z]+', '([^']+)'", code)
        assert not written, f"{named(path)}:{number} names a key without the partition's tag"


@pytest.mark.parametrize("path", [path for path in SCRIPTS if not path.name.startswith("_")], ids=named)
def test_every_script_says_what_it_takes_returns_and_does_twice(path: Path) -> None:
    text = path.read_text()
    header = text.partition("]]")[0]
    assert text.startswith("#!lua"), f"{named(path)} needs its engine line"
    assert f"\n{path.stem}: " in header, f"{named(path)} does not say what it is for"
    for section in ("KEYS", "ARGV", "OUT", "TWICE"):
        assert re.search(rf"^[A-Z, ]*\b{section}\b", header, re.MULTILINE), f"{named(path)} does not document {section}"


@pytest.mark.parametrize("path", [path for path in SCRIPTS if not path.name.startswith("_")], ids=named)
def test_every_script_is_called_by_the_store(path: Path) -> None:
    store = "".join(p.read_text() for p in (MUSTER / "store").glob("*.py"))
    assert f'"{path.stem}"' in store, f"nobody runs {named(path)}"


def test_every_error_code_is_raised_somewhere() -> None:
    code = "".join(path.read_text() for path in modules("orchestrator/muster") if path.name != "errors.py")
    unused = [error.name for error in ErrorCode if f"ErrorCode.{error.name}" not in code]
    assert unused == [], "raise it, or delete it with its page"


def test_a_job_is_committed_in_one_place() -> None:
    callers = [
        named(path) for path in modules("orchestrator/muster") if re.search(r"_store\.commit\(", path.read_text())
    ]
    assert callers == ["orchestrator/muster/engine/turns.py"]


def test_the_core_takes_time_and_chance_as_arguments() -> None:
    wanting = re.compile(
        r"^\s*(?:import|from) (?:time|random|secrets|asyncio|os|logging|socket)\b|\.(?:now|utcnow|today)\(",
        re.MULTILINE,
    )
    found = [named(path) for path in modules("orchestrator/muster/core") if wanting.search(path.read_text())]
    assert found == []


@pytest.mark.parametrize("path", modules("worker"), ids=named)
def test_the_worker_sdk_stands_alone(path: Path) -> None:
    for node in ast.walk(tree(path)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        foreign = [name for name in names if name.split(".")[0] == "muster"]
        assert foreign == [], f"{named(path)} imports {foreign[0]}; the SDK is installed without the server"
