import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from muster_worker import load_worker

Write = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module into the working directory and returns its name."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text: str) -> str:
        (tmp_path / "shop_tasks.py").write_text(text)
        return "shop_tasks"

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


TWO = "from muster_worker import Worker\na = Worker()\nb = Worker()\nnumber = 3\n"


def test_a_module_of_the_working_directory_is_found(module: Write) -> None:
    name = module("from muster_worker import Worker\nworker = Worker()\nsame = worker\n")
    assert load_worker(name) is load_worker(f"{name}:worker")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop_tasks", "holds several workers; name one: shop_tasks:a"),
        ("shop_tasks:c", "'c' has no such name"),
        ("shop_tasks:number", "'number' is int"),
        ("nowhere", "there is no module 'nowhere' here"),
        ("nowhere.tasks:worker", "there is no module 'nowhere' here"),
        ("shop_tasks.py", "write it like an import"),
        ("", "is not a module"),
    ],
)
def test_what_cannot_be_loaded_is_explained(module: Write, target: str, message: str) -> None:
    module(TWO)
    with pytest.raises(ValueError, match=message):
        load_worker(target)


def test_a_module_without_a_worker_says_how_to_make_one(module: Write) -> None:
    name = module("x = 1\n")
    with pytest.raises(ValueError, match="holds no worker; make one with"):
        load_worker(name)


def test_an_error_inside_the_module_comes_out_as_it_is(module: Write) -> None:
    name = module("import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        load_worker(name)
